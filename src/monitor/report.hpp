// What leaves the server in one piece: metric families and the HTML report.
#pragma once
#include "core/exposition.hpp"
#include "monitor/monitor.hpp"

namespace dbopt::monitor {

// Every metric, with bounded cardinality. A part that fails is left out.
std::vector<core::metric_family> read_metrics();

// One self-contained HTML page about the time since `span` ago.
std::string make_report(const pg::interval &span);

} // namespace dbopt::monitor
