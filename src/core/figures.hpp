// Figures as people read them.
#pragma once
#include <algorithm>
#include <cmath>

namespace dbopt::core {

// Three decimals; of what is smaller than that, three significant digits: 79.73684210526316 becomes 79.737
// and 0.000123456 becomes 0.000123. Whole numbers, however large, stay as they are.
inline double for_people(double value) {
    constexpr double exact = 1e12; // from here on a thousandth is not held exactly
    const double size = std::fabs(value);
    if (!std::isfinite(value) || value == 0 || size >= exact)
        return value;
    const int decimals = std::max(3, 2 - static_cast<int>(std::floor(std::log10(size))));
    if (decimals > 300)
        return value;
    const double scale = std::pow(10.0, decimals);
    return std::round(value * scale) / scale;
}

} // namespace dbopt::core
