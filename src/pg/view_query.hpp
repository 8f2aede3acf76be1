// From the stored query tree of a matview to its delta form (core/view_form.hpp).
#pragma once
#include "core/view_form.hpp"
#include "pg/value.hpp"

namespace dbopt::pg {

struct read_view {
    std::optional<core::view_form> form;
    std::string refusal;      // for people, when there is no form
};
// Call as the matview's owner with the narrow search_path: names and operators come out qualified.
read_view read_matview(Oid matview);

// A function in the query of a view or matview whose result may change though no row does. Functions
// that depend on settings only (TimeZone …) do not count: the fingerprint holds the settings.
std::optional<std::string> changing_function(Oid view);
// Output columns that are GROUP BY or DISTINCT keys, if all keys are shown.
std::vector<std::string> grouping_columns(Oid matview);

} // namespace dbopt::pg
