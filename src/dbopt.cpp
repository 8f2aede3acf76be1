// _PG_init only: settings, shared memory, hooks, launcher, in that order.
#include "capture/capture.hpp"
#include "partition/partition.hpp"
#include "monitor/monitor.hpp"
#include "pg/entry.hpp"
#include "pg/settings.hpp"
#include "pg/whatif.hpp"

extern "C" {
PG_MODULE_MAGIC;
PGDLLEXPORT void _PG_init(void);
}

void _PG_init(void) {
    dbopt::pg::boundary([] {
        dbopt::partition::define_settings();
        dbopt::monitor::define_settings();
        dbopt::capture::define_settings();
        dbopt::pg::whatif::install_hooks();
        if (dbopt::pg::preloading())
            dbopt::capture::install();
    });
}

DBOPT_FUNCTION(dbopt_version) {
    return args.result(std::string_view(DBOPT_VERSION));
}
