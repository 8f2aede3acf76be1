// A second module with a class of the same name: each must see its own (modules are loaded RTLD_GLOBAL).
#include "pg/server.hpp"

extern "C" {
PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(dbopt_pgtwin_who);
PGDLLEXPORT Datum dbopt_pgtwin_who(PG_FUNCTION_ARGS);
}

namespace dbopt::pgtest {
struct named {
    virtual ~named() = default;
    virtual const char *name() const { return "twin"; }
};
// An inline function with external linkage: without hidden visibility the first module's would win.
inline const char *ask(const named &n) { return n.name(); }
[[gnu::noinline]] inline std::string stamp() { return "twin"; }
} // namespace dbopt::pgtest

Datum dbopt_pgtwin_who(PG_FUNCTION_ARGS) {
    (void)fcinfo;
    const dbopt::pgtest::named n;
    const std::string s = std::string(dbopt::pgtest::ask(n)) + "/" + dbopt::pgtest::stamp();
    return PointerGetDatum(cstring_to_text(s.c_str()));
}
