#include "core/sampling.hpp"
#include <algorithm>
#include <cmath>

namespace dbopt::core {

namespace {

uint32_t even(uint32_t n) { return n + n % 2; }

// A random number below `below` that is none of the two.
uint64_t other_than(uint64_t below, uint64_t taken, random_source &random) {
    auto drawn = static_cast<uint64_t>(random.uniform() * static_cast<double>(below - 1));
    drawn = std::min(drawn, below - 2);
    return drawn < taken ? drawn : drawn + 1;
}

// Adds blocks of [from, to) until, with those it has, there are two; ascending.
void fill_up(uint64_t from, uint64_t to, std::span<const uint32_t> has, random_source &random,
             std::vector<uint32_t> &out) {
    const uint64_t length = to - from;
    if (has.size() >= 2 || has.size() == length)
        return;
    uint64_t first = 0;
    if (has.empty()) {
        first = std::min(static_cast<uint64_t>(random.uniform() * static_cast<double>(length)), length - 1);
        out.push_back(static_cast<uint32_t>(from + first));
        if (length == 1)
            return;
    } else {
        first = has[0] - from;
    }
    out.push_back(static_cast<uint32_t>(from + other_than(length, first, random)));
    if (const size_t n = out.size(); has.empty() && out[n - 2] > out[n - 1])
        std::swap(out[n - 2], out[n - 1]);
}

} // namespace

std::vector<uint32_t> stratified_blocks(uint32_t blocks, uint32_t n, random_source &random) {
    std::vector<uint32_t> chosen;
    n = even(n);
    if (n >= blocks) {
        chosen.resize(blocks);
        for (uint32_t i = 0; i < blocks; ++i)
            chosen[i] = i;
        return chosen;
    }
    chosen.reserve(n);
    // Integer borders keep every block in exactly one stratum, so no block comes twice.
    const uint64_t strata = n / 2;
    for (uint64_t i = 0; i < strata; ++i)
        fill_up(blocks * i / strata, blocks * (i + 1) / strata, {}, random, chosen);
    return chosen;
}

std::vector<uint32_t> more_blocks(uint32_t blocks, std::span<const uint32_t> have, uint32_t n,
                                  uint32_t times, random_source &random) {
    std::vector<uint32_t> chosen;
    const uint64_t parts = uint64_t{even(n)} / 2 * times;
    size_t next = 0;
    for (uint64_t i = 0; i < parts; ++i) {
        const uint64_t from = blocks * i / parts, to = blocks * (i + 1) / parts;
        const size_t first = next;
        while (next < have.size() && have[next] < to)
            ++next;
        fill_up(from, to, have.subspan(first, next - first), random, chosen);
    }
    return chosen;
}

namespace {

constexpr double many = 30; // from so many blocks on the normal distribution will do

double mean_of(std::span<const double> v) {
    double sum = 0;
    for (const double x : v)
        sum += x;
    return v.empty() ? 0 : sum / static_cast<double>(v.size());
}

double covariance(std::span<const double> a, double a_mean, std::span<const double> b, double b_mean) {
    double sum = 0;
    for (size_t i = 0; i < a.size(); ++i)
        sum += (a[i] - a_mean) * (b[i] - b_mean);
    return sum;
}

// What successive differences say about the variance of one block around the level of its surroundings.
//
// half: half the mean square of the differences. It counts noise right, but a jump between two levels (half of
// a table deleted) as D^2/2, though only the one stratum with the jump in it is uncertain. noise: the mean
// product of each difference and the next, negated: the same for noise and for single odd blocks, and zero for
// jumps. A jump in a stratum of which two blocks are read is worth D^2/3, which is (noise + 2 half) / 3.
struct variation {
    double half = 0, noise = 0;
    double rare = 1; // of how many blocks the noise comes
    double sum() const { return (noise + 2 * half) / 3; }
    double share_of_noise() const { return half > 0 ? std::min(1.0, noise / half) : 0; }
};

variation variation_of(std::span<const double> v) {
    variation r;
    double squares = 0, fourths = 0, products = 0, before = 0;
    for (size_t i = 1; i < v.size(); ++i) {
        const double d = v[i] - v[i - 1];
        squares += d * d;
        fourths += d * d * d * d;
        products -= d * before;
        before = d;
    }
    r.half = squares / 2;
    r.noise = std::clamp(products, 0.0, r.half);
    r.rare = fourths > 0 ? std::max(1.0, squares * squares / fourths / 2) : many;
    return r;
}

// Least-squares coefficients for at most two controls; a control without variation gets 0.
std::array<double, 2> coefficients(std::span<const double> y, double y_mean,
                                   std::span<const known> x, std::span<const double> x_mean) {
    std::array<double, 2> beta{};
    if (x.empty())
        return beta;
    const double a = covariance(x[0].sampled, x_mean[0], x[0].sampled, x_mean[0]);
    const double p = covariance(x[0].sampled, x_mean[0], y, y_mean);
    if (x.size() == 1) {
        beta[0] = a > 0 ? p / a : 0;
        return beta;
    }
    const double c = covariance(x[1].sampled, x_mean[1], x[1].sampled, x_mean[1]);
    const double q = covariance(x[1].sampled, x_mean[1], y, y_mean);
    const double b = covariance(x[0].sampled, x_mean[0], x[1].sampled, x_mean[1]);
    const double det = a * c - b * b;
    if (det > 1e-9 * a * c && a > 0 && c > 0)
        beta = {(p * c - q * b) / det, (q * a - p * b) / det};
    else if (a > 0)
        beta[0] = p / a;
    else if (c > 0)
        beta[1] = q / c;
    return beta;
}

} // namespace

estimate estimate_mean(std::span<const double> values, uint32_t blocks, double range,
                       std::span<const known> controls) {
    estimate e;
    const size_t n = values.size();
    const double y_mean = mean_of(values);
    e.mean = y_mean;
    if (n >= blocks || n == 0)
        return e;
    std::array<double, 2> x_mean{}, beta{};
    controls = controls.first(std::min<size_t>(controls.size(), 2));
    if (n >= 30) { // fewer blocks than that fit the noise
        for (size_t k = 0; k < controls.size(); ++k)
            x_mean[k] = mean_of(controls[k].sampled);
        beta = coefficients(values, y_mean, controls, x_mean);
    }
    for (size_t k = 0; k < controls.size(); ++k)
        e.mean += beta[k] * (controls[k].mean - x_mean[k]);
    e.mean = std::clamp(e.mean, 0.0, std::max(range, y_mean));
    std::vector<double> residuals(values.begin(), values.end());
    for (size_t k = 0; k < controls.size(); ++k)
        if (beta[k] != 0)
            for (size_t i = 0; i < n; ++i)
                residuals[i] -= beta[k] * controls[k].sampled[i];
    const variation v = variation_of(residuals);
    const double unread = 1.0 - static_cast<double>(n) / blocks;
    const double variance = n > 1 ? v.sum() / static_cast<double>(n - 1) / static_cast<double>(n) * unread : 0;
    // A variance that rests on k blocks only is a count of k rare events: the Poisson interval of so
    // small a count is wider than the normal one (k = 1: 2.3 times upwards).
    const double skew =
        v.rare < many ? 1 + v.share_of_noise() * 1.3 * (1 / std::sqrt(v.rare) - 1 / std::sqrt(many)) : 1;
    e.half_width = std::max(1.96 * skew * std::sqrt(variance), unread * range / static_cast<double>(n));
    return e;
}

uint32_t sample_size_for(double half_width, double wanted, uint32_t n, uint32_t blocks, double most) {
    if (half_width <= wanted)
        return n;
    const double ratio = wanted > 0 ? half_width / wanted : 2.0;
    double next = 1.1 * n * ratio * ratio;
    if (blocks > n) // the variance is proportional to 1/n - 1/blocks
        next = 1.1 / ((1.0 / n - 1.0 / blocks) / (ratio * ratio) + 1.0 / blocks);
    return static_cast<uint32_t>(std::min(most * n, next) + 1);
}

} // namespace dbopt::core
