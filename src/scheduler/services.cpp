#include "scheduler/services.hpp"
#include "advisor/advisor.hpp"
#include "capture/capture.hpp"
#include "matview/matview.hpp"
#include "monitor/monitor.hpp"
#include "partition/partition.hpp"
#include "pool/pool.hpp"

namespace dbopt::scheduler {

// One line per room that works in the background.
static const service list[] = {
    {"monitor", 10, monitor::background},
    {"partition", 10, partition::background},
    {"advisor", 5, advisor::background},
    {"capture", 300, capture::background},
    {"pool", 10, pool::background},
    {"matview", 10, matview::background},
    {nullptr, 0, nullptr}, // the end
};

std::span<const service> services() { return {list, std::size(list) - 1}; }

} // namespace dbopt::scheduler
