// The rules of C++ inside the server, each as a function that tries to break it.
#include "pg/entry.hpp"
#include "pg/memory.hpp"
#include "pg/query.hpp"
#include "pg/transaction.hpp"
#include <boost/container/pmr/flat_map.hpp>
#include <boost/container/pmr/small_vector.hpp>
#include <stdexcept>
#include <sys/resource.h>

extern "C" {
PG_MODULE_MAGIC;
}

using namespace dbopt;

namespace dbopt::pgtest {
struct named {
    virtual ~named() = default;
    virtual const char *name() const { return "first"; }
};
inline const char *ask(const named &n) { return n.name(); }
[[gnu::noinline]] inline std::string stamp() { return "first"; }
} // namespace dbopt::pgtest

namespace {
int64_t destroyed = 0;
struct tracker {
    std::string payload = std::string(1000, 'x');
    ~tracker() { ++destroyed; }
};

void server_error() {
    ereport(ERROR, (errcode(ERRCODE_CHECK_VIOLATION), errmsg("said by the server"),
                    errdetail("the detail"), errhint("the hint"),
                    err_generic_string(PG_DIAG_COLUMN_NAME, "a_column")));
}

void pretend_cancel() {
    QueryCancelPending = true;
    InterruptPending = true;
}

// Three levels of C++ frames with destructors between the error and the catch.
void deep(int level, const std::string &kind) {
    const tracker t;
    if (level > 0) {
        deep(level - 1, kind);
        return;
    }
    if (kind == "server")
        pg::call([] { server_error(); });
    else if (kind == "own")
        pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE, .message = "said by us",
                   .detail = "our detail", .hint = "our hint"});
    else if (kind == "sql")
        pg::query("SELECT pg_temp.complain()");
    else if (kind == "bad_alloc")
        throw std::bad_alloc();
    else if (kind == "invalid_argument")
        throw std::invalid_argument("not like this");
    else if (kind == "logic_error")
        throw std::logic_error("a bug");
    else if (kind == "unknown")
        throw 42;
    else if (kind == "rethrown")
        try {
            pg::call([] { server_error(); });
        } catch (pg::error &e) {
            throw std::move(e).within("while doing the work");
        }
}
} // namespace

DBOPT_FUNCTION(dbopt_pgtest_destroyed) { return args.result(destroyed); }

DBOPT_FUNCTION(dbopt_pgtest_raise) {
    const tracker t;
    deep(3, args.get<std::string>(0));
    return args.result("nothing was raised");
}

// n errors, caught; returns how many destructors ran.
DBOPT_FUNCTION(dbopt_pgtest_catch_many) {
    const int n = args.get<int32_t>(0);
    const std::string kind = args.get<std::string>(1);
    const int64_t before = destroyed;
    for (int i = 0; i < n; ++i)
        try {
            deep(2, kind);
        } catch (const pg::error &) {
        } catch (const std::exception &) {
        }
    return args.result(destroyed - before);
}

DBOPT_FUNCTION(dbopt_pgtest_peak_rss) {
    rusage use{};
    getrusage(RUSAGE_SELF, &use);
    return args.result(int64_t{use.ru_maxrss});
}

DBOPT_FUNCTION(dbopt_pgtest_wait) {
    const tracker t;
    for (;;) {
        pg::check_interrupts();
        pg_usleep(1000);
    }
}
DBOPT_FUNCTION(dbopt_pgtest_holdoff) { return args.result(int64_t{InterruptHoldoffCount}); }

DBOPT_FUNCTION(dbopt_pgtest_quietly) {
    const std::string kind = args.get<std::string>(0);
    const uint32 held = InterruptHoldoffCount;
    std::string out = "went on";
    if (kind == "error") {
        pg::quietly([] { server_error(); });
    } else if (kind == "exception") {
        pg::quietly([] { throw std::logic_error("a bug"); });
    } else if (kind == "unwinding") { // the outer error must survive a failing clean-up
        struct fails {
            ~fails() { pg::quietly([] { elog(ERROR, "clean-up broke"); }); }
        };
        try {
            const fails f;
            pg::raise({.code = ERRCODE_DIVISION_BY_ZERO, .message = "the outer error"});
        } catch (const pg::error &e) {
            out = e.sqlstate() + " " + e.message();
        }
    } else if (kind == "cancel") {
        pretend_cancel();
        pg::quietly([] { CHECK_FOR_INTERRUPTS(); });
        pg::quietly([] { server_error(); });
        out = QueryCancelPending ? "cancel waits" : "cancel was lost";
        try {
            pg::check_interrupts();
        } catch (const pg::error &e) {
            out += ", then " + e.sqlstate();
        }
    }
    if (InterruptHoldoffCount != held)
        out += ", hold count wrong";
    return args.result(out);
}

// Exceptions out of guards in guards: the jump target must be the old one on every way out.
DBOPT_FUNCTION(dbopt_pgtest_nested) {
    sigjmp_buf *const stack = PG_exception_stack;
    ErrorContextCallback *const callbacks = error_context_stack;
    MemoryContext const context = CurrentMemoryContext;
    std::string out;
    try {
        pg::call([] { pg::call([] { pg::call([] { server_error(); }); }); });
    } catch (const pg::error &e) {
        out += e.sqlstate();
    }
    out += PG_exception_stack == stack ? " same" : " dangling";
    try {
        pg::call([] { pg::call([] { throw std::logic_error("through"); }); });
    } catch (const std::logic_error &e) {
        out += std::string(" ") + e.what();
    }
    out += PG_exception_stack == stack ? " same" : " dangling";
    try { // an error while another one is being handled
        try {
            pg::raise({.code = ERRCODE_DIVISION_BY_ZERO, .message = "first"});
        } catch (const pg::error &) {
            pg::call([] { elog(ERROR, "second"); });
        }
    } catch (const pg::error &e) {
        out += std::string(" ") + e.message();
    }
    out += PG_exception_stack == stack && error_context_stack == callbacks &&
                   CurrentMemoryContext == context
               ? " same"
               : " changed";
    return args.result(out);
}

DBOPT_FUNCTION(dbopt_pgtest_misaligned) {
    pg::context_resource arena("alignment");
    int64_t wrong = 0;
    for (size_t align = 1; align <= 4096; align *= 2)
        for (size_t size : {1, 7, 64, 1000, 9000}) {
            void *p = arena.allocate(size, align);
            wrong += reinterpret_cast<uintptr_t>(p) % align != 0;
            memset(p, 0x5a, size);
            arena.deallocate(p, size, align);
        }
    return args.result(wrong);
}

DBOPT_FUNCTION(dbopt_pgtest_too_large) {
    std::string out;
    pg::context_resource arena("too large");
    for (size_t size : {size_t{1} << 62, SIZE_MAX / 2 - 64, SIZE_MAX - 4}) {
        try {
            (void)arena.allocate(size, 16);
            out += "got it ";
        } catch (const std::bad_alloc &) {
            out += "bad_alloc ";
        }
    }
    return args.result(out);
}

DBOPT_FUNCTION(dbopt_pgtest_outlives) {
    MemoryContext own = AllocSetContextCreate(CurrentMemoryContext, "short-lived", ALLOCSET_SMALL_SIZES);
    MemoryContext old = MemoryContextSwitchTo(own);
    const pg::result r = pg::query("SELECT 'still here'::text");
    MemoryContextSwitchTo(old);
    MemoryContextDelete(own);
    return args.result(r[0].get<std::string>(0));
}

DBOPT_FUNCTION(dbopt_pgtest_subtransaction) {
    const std::string kind = args.get<std::string>(0);
    std::string out;
    try {
        const auto e = pg::subtransaction([&] {
            const tracker t;
            pg::execute("CREATE TEMP TABLE made_inside (i int)");
            if (kind == "cancel") {
                pretend_cancel();
                pg::check_interrupts();
            } else if (kind == "error") {
                pg::execute("SELECT 1/0");
            } else if (kind == "exception") {
                throw std::logic_error("a bug");
            }
        });
        out = e ? "returned " + e->sqlstate() : "kept";
    } catch (const pg::error &e) {
        out = "thrown on " + e.sqlstate();
    } catch (const std::exception &e) {
        out = std::string("thrown on ") + e.what();
    }
    const bool there = *pg::scalar<bool>("SELECT to_regclass('pg_temp.made_inside') IS NOT NULL");
    pg::execute("DROP TABLE IF EXISTS pg_temp.made_inside");
    return args.result(out + (there ? ", table there" : ", table gone"));
}

// Boost's and the library's containers in server memory; returns a checksum.
DBOPT_FUNCTION(dbopt_pgtest_containers) {
    const int n = args.get<int32_t>(0);
    pg::context_resource arena("containers");
    std::pmr::vector<int64_t> v(arena.get());
    pg::boost_context_resource boost_arena(arena.context());
    boost::container::pmr::flat_map<int, int64_t> m(&boost_arena);
    for (int i = 0; i < n; ++i) {
        v.push_back(i);
        m[i % 100] += i;
    }
    int64_t sum = 0;
    for (const auto &[key, total] : m)
        sum += total;
    for (int64_t x : v)
        sum -= x;
    return args.result(sum);
}

DBOPT_FUNCTION(dbopt_pgtest_who) {
    const pgtest::named n;
    return args.result(std::string(pgtest::ask(n)) + "/" + pgtest::stamp());
}
