#include "pg/run_leash.hpp"

extern "C" {
#include "storage/ipc.h"
}

namespace dbopt::pg {

static run_leash *innermost = nullptr;

static void stop_all(int, Datum) {
    for (const run_leash *l = innermost; l != nullptr; l = l->outer())
        l->stop();
}

run_leash::run_leash() : outer_(innermost), exceptions_(std::uncaught_exceptions()) {
    static bool registered = false;
    if (!std::exchange(registered, true))
        call([] { before_shmem_exit(stop_all, 0); });
    innermost = this;
}

run_leash::~run_leash() {
    if (std::uncaught_exceptions() > exceptions_)
        stop();
    innermost = outer_;
}

void run_leash::stop() const noexcept {
    for (const int64_t run : runs_)
        (void)cancel_run(run);
}

} // namespace dbopt::pg
