// What a refresh knows about a matview's definition: the delta form of its query, what it reads, whether
// all of that is captured, and the fingerprint of it. Kept in the backend until some of it may have changed.
#pragma once
#include "core/view_form.hpp"
#include "matview/registry.hpp"
#include <map>
#include <memory>

namespace dbopt::matview {

struct knowledge {
    uint64_t as_of = 0; // pg::catalog_changes()
    std::string settings;
    std::vector<source> sources;
    std::string fingerprint;
    std::vector<unsigned> bases;                // captured for this matview
    std::map<unsigned, std::string> log_columns; // ", c1, c2": of each base's log
    std::optional<core::view_form> form;
    std::string refusal;                        // why changes cannot be followed, if so
    std::optional<std::string> unstable;        // a function whose result changes by itself
    mutable bool tried = false; // whether changes can be captured was looked at since, in vain
    bool captured() const { return form && refusal.empty(); }
};
std::shared_ptr<const knowledge> know(Oid matview);
// The same without looking at anything that could be locked: nullptr when it would have to.
std::shared_ptr<const knowledge> recall(Oid matview);
// False when something has changed since; call it after taking locks.
bool still_holds(const knowledge &k);

} // namespace dbopt::matview
