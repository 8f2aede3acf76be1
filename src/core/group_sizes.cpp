#include "core/group_sizes.hpp"
#include <algorithm>
#include <cmath>
#include <utility>

namespace dbopt::core {

namespace {

// Rate of a Poisson whose values above zero have this mean.
double solve_rate(double mean) {
    double rate = mean;
    for (int i = 0; i < 60; ++i)
        rate = mean * (1 - std::exp(-rate));
    return std::max(rate, 1e-9);
}

// A gamma mixture of Poissons (negative binomial) whose values above zero have this mean, and `square` as the
// mean of n * (n - 1): its shape, and the mean with the zeros.
std::pair<double, double> solve_mixture(double mean, double square) {
    double low = std::log(0.05), high = std::log(1000.0);
    auto mu_of = [&](double shape) { return square / mean / (1 + 1 / shape); };
    for (int i = 0; i < 40; ++i) {
        const double shape = std::exp((low + high) / 2), mu = mu_of(shape);
        const double none = std::pow(shape / (shape + mu), shape);
        (mean * (1 - none) > mu ? low : high) = (low + high) / 2;
    }
    const double shape = std::exp((low + high) / 2);
    return {shape, mu_of(shape)};
}

} // namespace

group_sizes::group_sizes(repetition r, double mean)
    : from_(std::move(r)), mean_(std::max(1.0, mean)), rate_(mean_ > 60 ? mean_ : solve_rate(mean_)) {
    if (from_.dispersion > 1.05 && mean_ > 1.001) {
        const double square = mean_ * (from_.dispersion - 1 + mean_);
        const auto [shape, mu] = solve_mixture(mean_, square);
        shape_ = shape;
        scale_ = mu / shape;
    }
}

double group_sizes::uniform() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<double>(state_ >> 11) / 9007199254740992.0;
}

double group_sizes::poisson(double rate) {
    if (rate > 60) { // close to normal; twelve uniforms make one
        double sum = -6;
        for (int i = 0; i < 12; ++i)
            sum += uniform();
        return std::max(1.0, std::round(rate + sum * std::sqrt(rate)));
    }
    const double none = std::exp(-rate);
    const double u = none + uniform() * (1 - none);
    double n = 0, probability = none, sum = none;
    while (sum < u && n < 400) {
        ++n;
        probability *= rate / n;
        sum += probability;
    }
    return std::max(1.0, n);
}

double group_sizes::regular() {
    const double whole = std::floor(mean_);
    return uniform() < mean_ - whole ? whole + 1 : whole;
}

// Marsaglia and Tsang (2000); a shape below one through the one above it.
double group_sizes::gamma(double shape) {
    if (shape < 1)
        return gamma(shape + 1) * std::pow(std::max(uniform(), 1e-12), 1 / shape);
    const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
    for (;;) {
        double x = -6;
        for (int i = 0; i < 12; ++i)
            x += uniform();
        const double v = std::pow(1 + c * x, 3);
        if (v > 0 && std::log(std::max(uniform(), 1e-12)) < 0.5 * x * x + d - d * v + d * std::log(v))
            return d * v;
    }
}

// Keys that the table does not have are not drawn.
double group_sizes::skewed() {
    for (int tries = 0; tries < 50; ++tries) {
        const double rate = gamma(shape_) * scale_;
        if (uniform() < -std::expm1(-rate))
            return poisson(rate);
    }
    return 1;
}

double group_sizes::next() {
    if (!from_.observed.empty())
        return from_.observed[at_++ % from_.observed.size()];
    if (shape_ > 0)
        return skewed();
    if (from_.dispersion < 1 && uniform() >= from_.dispersion)
        return regular();
    return poisson(rate_);
}

} // namespace dbopt::core
