// _PG_init only: settings, hooks of every session, then, while preloading, shared memory and the
// launcher. A room adds its own line to the first or second block.
#include "advisor/advisor.hpp"
#include "capture/capture.hpp"
#include "maintenance/maintenance.hpp"
#include "matview/matview.hpp"
#include "monitor/monitor.hpp"
#include "partition/partition.hpp"
#include "pg/entry.hpp"
#include "pg/settings.hpp"
#include "pg/whatif.hpp"
#include "scheduler/scheduler.hpp"

extern "C" {
PG_MODULE_MAGIC;
PGDLLEXPORT void _PG_init(void);
}

void _PG_init(void) {
    using namespace dbopt;
    pg::boundary([] {
        scheduler::define_settings();
        partition::define_settings();
        maintenance::define_settings();
        matview::define_settings();
        monitor::define_settings();
        capture::define_settings();
        advisor::define_settings();

        pg::whatif::install_hooks();

        pg::reserve_settings();
        if (pg::preloading()) {
            capture::install();
            scheduler::start();
        }
    });
}

DBOPT_FUNCTION(dbopt_version) {
    return args.result(std::string_view(DBOPT_VERSION));
}
