// Alerts on their way to webhooks. Internal to the room; send_alerts() is in monitor.hpp.
#pragma once
#include <string>

namespace dbopt::monitor {

void put_into_outbox(const std::string &json, bool critical);
// The youngest 10,000 messages and 100,000 events stay, whatever retention says.
void bound_outbox();

} // namespace dbopt::monitor
