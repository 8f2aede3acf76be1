#include "pg/fixed_path.hpp"

extern "C" {
#include "utils/guc.h"
}

namespace dbopt::pg {

fixed_path::fixed_path() : exceptions_(std::uncaught_exceptions()) {
    call([&] {
        nest_level_ = NewGUCNestLevel();
        (void)set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                                false);
    });
}

fixed_path::~fixed_path() {
    // While an error travels, the (sub)transaction's abort pops the settings.
    if (std::uncaught_exceptions() == exceptions_)
        quietly([&] { AtEOXact_GUC(false, nest_level_); });
}

} // namespace dbopt::pg
