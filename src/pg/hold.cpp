#include "pg/hold.hpp"
#include "pg/query.hpp"
#include "pg/security.hpp"

namespace dbopt::pg {

void note_hold(std::string_view area, std::string_view object, std::string_view action, std::string_view reason) {
    bool is_new;
    {
        const as_owner writer(BOOTSTRAP_SUPERUSERID);
        is_new = scalar<bool>("INSERT INTO dbopt._hold AS h (area, object, action, reason) VALUES ($1, $2, $3, $4)"
                              " ON CONFLICT (area, object) DO UPDATE SET action = excluded.action,"
                              " reason = excluded.reason, seen = clock_timestamp(),"
                              " since = CASE WHEN h.seen < clock_timestamp() - interval '1 hour'"
                              " THEN clock_timestamp() ELSE h.since END RETURNING since = seen",
                              {area, object, action, reason})
                     .value_or(false);
    }
    if (is_new)
        warning("dbopt: held: " + std::string(action) + " of " + std::string(object),
                std::string(reason) + ".", "See dbopt.holds; a call that names the object carries it out.");
}

void release_hold(std::string_view area, std::string_view object) {
    const as_owner writer(BOOTSTRAP_SUPERUSERID);
    (void)execute("DELETE FROM dbopt._hold WHERE area = $1 AND object = $2", {area, object});
}

} // namespace dbopt::pg
