#include "core/retry.hpp"
#include <algorithm>
#include <array>
#include <cmath>

namespace dbopt::core {

bool is_retryable(std::string_view s) {
    if (s.size() != 5)
        return false;
    // 57P01 … 57P03: the server goes down or is not up yet; 55006: object in use.
    static constexpr std::array<std::string_view, 7> codes{"40001", "40P01", "55P03", "55006",
                                                           "57P01", "57P02", "57P03"};
    if (std::find(codes.begin(), codes.end(), s) != codes.end())
        return true;
    const std::string_view kind = s.substr(0, 2);
    return kind == "08" || kind == "53";
}

double backoff(const retry_policy &p, int attempt) {
    const int doublings = std::clamp(attempt - 1, 0, 60);
    return std::min(p.cap_s, p.base_s * std::pow(p.factor, doublings));
}

double backoff(const retry_policy &p, int attempt, double random) {
    return backoff(p, attempt) * (0.5 + 0.5 * random);
}

} // namespace dbopt::core
