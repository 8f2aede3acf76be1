// What the guard costs beside PG_TRY, in one process: the smallest ratio of several rounds, so that a
// busy machine does not decide.
#include "pg/entry.hpp"
#include <chrono>

namespace {
volatile long sink;
[[gnu::noinline]] void server_call() { sink = sink + 1; }

[[gnu::noinline]] void with_pg_try() {
    PG_TRY();
    { server_call(); }
    PG_CATCH();
    { PG_RE_THROW(); }
    PG_END_TRY();
}
[[gnu::noinline]] void with_guard() { dbopt::pg::call([] { server_call(); }); }

template <class F> double seconds(F f) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < 300000; ++i)
        f();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}
} // namespace

DBOPT_FUNCTION(dbopt_pgtest_cost) {
    seconds(with_pg_try);
    double theirs = 1e9, ours = 1e9;
    for (int round = 0; round < 15; ++round) {
        theirs = std::min(theirs, seconds(with_pg_try));
        ours = std::min(ours, seconds(with_guard));
    }
    return args.result(ours / theirs);
}
