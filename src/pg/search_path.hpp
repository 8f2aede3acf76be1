// Under which schemas a statement that a session once ran finds its names again.
#pragma once
#include "pg/entry.hpp"

struct Query;

namespace dbopt::pg {

// The session's setting as it stands, for a hook: no copy.
const char *search_path_now();
// What a new session of the role in this database would have: its settings, the database's, the server's.
std::string search_path_of(Oid role);
// The same schemas with the temporary ones last. A path that cannot be read is "$user", public.
std::string temporary_last(const std::string &path);
// Whether a relation or function of a temporary schema takes part. Such a name means something else in
// each session, so in another one it may be anybody's code.
bool uses_temporary(const Query *query);

} // namespace dbopt::pg
