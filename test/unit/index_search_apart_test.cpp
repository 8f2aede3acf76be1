// The search over plans that come apart: a planner without a server whose plans have places where they read
// relations, and in each place ways that differ by index. Everything is compared with trying all sets.
#include "core/index_search.hpp"
#include <algorithm>
#include <gtest/gtest.h>
#include <random>

namespace {

using namespace dbopt::core;

struct place {
    double base;                                // without a new index; infinite if it needs one
    std::vector<planned::option> ways;          // cheapest first
};
struct shape {
    double rest;
    std::vector<place> places;
};
struct query {
    std::vector<shape> shapes;
    double lie = 1; // what a plan's other sets really cost more than its parts say
};
struct archive {
    std::vector<search_index> indexes;
    std::vector<search_query> queries;
    std::vector<query> bodies;
    int plans = 0;

    static double pick(const place &p, const std::vector<char> &in, int *taken) {
        for (const planned::option &w : p.ways)
            if (in[static_cast<size_t>(w.index)] && w.cost < p.base) {
                *taken = w.index;
                return w.cost;
            }
        *taken = -1;
        return p.base;
    }
    double cost_of(int q, const std::vector<char> &in, size_t *which = nullptr) const {
        double best = 1e300;
        for (size_t s = 0; s < bodies[q].shapes.size(); ++s) {
            const shape &b = bodies[q].shapes[s];
            double cost = b.rest;
            int taken;
            for (const place &p : b.places)
                cost += pick(p, in, &taken);
            if (cost < best) {
                best = cost;
                if (which != nullptr)
                    *which = s;
            }
        }
        return best;
    }
    double total(const std::vector<char> &in) const {
        double sum = 0;
        for (size_t q = 0; q < queries.size(); ++q)
            sum += queries[q].weight * cost_of(static_cast<int>(q), in);
        return sum;
    }
    planned plan(int q, std::span<const int> shown) {
        ++plans;
        std::vector<char> in(indexes.size(), 0);
        for (const int i : shown)
            in[static_cast<size_t>(i)] = 1;
        size_t which = 0;
        planned out{.cost = cost_of(q, in, &which), .used = {}, .leaves = {}, .needs = {}, .apart = true};
        for (const place &p : bodies[q].shapes[which].places) {
            int taken;
            planned::leaf l{.now = pick(p, in, &taken), .options = p.ways};
            std::erase_if(l.options, [&](const planned::option &o) { return o.cost >= p.base; });
            for (planned::option &o : l.options)
                if (o.index != taken)
                    o.cost /= bodies[q].lie;
            if (p.base < 1e299)
                l.options.push_back({-1, p.base});
            if (taken >= 0)
                out.used.push_back(taken);
            out.leaves.push_back(std::move(l));
        }
        return out;
    }
};

archive random_archive(unsigned seed, int indexes, int queries, double lie = 1) {
    std::mt19937 random(seed);
    auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
    archive a;
    for (int i = 0; i < indexes; ++i)
        a.indexes.push_back({.bytes = 8192.0 * (1 + pick(50)), .upkeep = 0, .relation = static_cast<unsigned>(i % 4),
                             .width = 1 + i % 3, .prefixes = {}});
    for (int q = 0; q < queries; ++q) {
        query body{.shapes = {}, .lie = lie};
        std::vector<std::vector<int>> rivals;
        for (int s = 0; s < 4; ++s) {
            shape b{.rest = s == 0 ? 100.0 : 20.0 + pick(300), .places = {}};
            for (int p = 0; p < 3; ++p) {
                place at{.base = s == 0 || pick(2) == 0 ? 300.0 + pick(600) : 1e300, .ways = {}};
                for (int i = 0; i < indexes; ++i)
                    if (i % 4 == (p + q) % 4 && pick(3) > 0)
                        at.ways.push_back({i, 5.0 + pick(500)});
                std::sort(at.ways.begin(), at.ways.end(), [](const auto &x, const auto &y) { return x.cost < y.cost; });
                std::vector<int> order;
                for (const planned::option &o : at.ways)
                    order.push_back(o.index);
                rivals.push_back(order);
                b.places.push_back(std::move(at));
            }
            body.shapes.push_back(std::move(b));
        }
        a.bodies.push_back(std::move(body));
        search_query sq{.weight = 1.0 + pick(3), .cost = 0, .relevant = {}, .shared = {}, .rivals = rivals};
        for (int i = 0; i < indexes; ++i)
            sq.relevant.push_back(i);
        sq.cost = a.cost_of(q, std::vector<char>(static_cast<size_t>(indexes), 0));
        a.queries.push_back(std::move(sq));
    }
    return a;
}

search_result search(archive &a, search_limits limits, double tick = 1e-6) {
    double now = 0;
    index_search s(a.indexes, a.queries, [&](int q, std::span<const int> shown) { return a.plan(q, shown); },
                   [&] { return now += tick; }, limits);
    return s.run();
}

std::vector<char> chosen(const archive &a, const search_result &r, double *bytes) {
    std::vector<char> in(a.indexes.size(), 0);
    *bytes = 0;
    for (const search_step &s : r.steps) {
        in[static_cast<size_t>(s.index)] = 1;
        *bytes += a.indexes[s.index].bytes;
    }
    return in;
}

double best_of_all(const archive &a, double budget) {
    double best = 1e300;
    std::vector<char> in(a.indexes.size());
    for (unsigned set = 0; set < 1u << a.indexes.size(); ++set) {
        double bytes = 0;
        for (size_t i = 0; i < in.size(); ++i) {
            in[i] = set >> i & 1;
            bytes += in[i] ? a.indexes[i].bytes : 0;
        }
        if (bytes <= budget)
            best = std::min(best, a.total(in));
    }
    return best;
}

double all_bytes(const archive &a) {
    double sum = 0;
    for (const search_index &i : a.indexes)
        sum += i.bytes;
    return sum;
}

TEST(IndexSearchApart, IsCloseToTheBestSetAtEveryBudget) {
    double worst = 0, sum = 0;
    int cases = 0;
    for (unsigned seed = 1; seed <= 20; ++seed) {
        archive a = random_archive(seed, 12, 6);
        for (const double share : {0.1, 0.25, 0.5, 1.0}) {
            const double budget = all_bytes(a) * share;
            const search_result r = search(a, {.budget = budget});
            double bytes;
            const double cost = a.total(chosen(a, r, &bytes));
            EXPECT_LE(bytes, budget);
            EXPECT_NEAR(cost, r.cost_after, 1e-3 * cost);
            const double excess = cost / best_of_all(a, budget) - 1;
            worst = std::max(worst, excess);
            sum += excess;
            ++cases;
        }
    }
    EXPECT_LT(sum / cases, 0.01);
    EXPECT_LT(worst, 0.1);
}

TEST(IndexSearchApart, AsksForFewPlans) {
    archive a = random_archive(3, 60, 30);
    const search_result r = search(a, {.budget = all_bytes(a) / 4});
    EXPECT_LT(r.plans, 30 * 40);
    EXPECT_GT(r.evaluations, 20 * r.plans);
}

TEST(IndexSearchApart, DearQueriesAreAskedAboutLess) {
    archive a = random_archive(5, 40, 10), b = random_archive(5, 40, 10);
    for (search_query &q : b.queries)
        q.effort = 20;
    const search_result x = search(a, {.budget = all_bytes(a) / 4}), y = search(b, {.budget = all_bytes(b) / 4});
    EXPECT_LT(y.plans_exploring, x.plans_exploring);
    EXPECT_LT(y.cost_after, 1.1 * x.cost_after);
}

// Parts that promise too little are put right by the plans that are made of what was chosen.
TEST(IndexSearchApart, SurvivesPartsThatLie) {
    for (unsigned seed = 1; seed <= 10; ++seed) {
        archive a = random_archive(seed, 10, 5, 1.5);
        const double budget = all_bytes(a) * 0.4;
        const search_result r = search(a, {.budget = budget});
        double bytes;
        const double cost = a.total(chosen(a, r, &bytes));
        EXPECT_LE(bytes, budget);
        EXPECT_NEAR(cost, r.cost_after, 0.002 * cost) << "what is promised has been planned";
        EXPECT_LT(cost, 1.25 * best_of_all(a, budget)) << seed;
    }
}

TEST(IndexSearchApart, ReckonsWhatThePlannerWouldSay) {
    archive a = random_archive(17, 16, 8);
    double now = 0;
    index_search s(a.indexes, a.queries, [&](int q, std::span<const int> shown) { return a.plan(q, shown); },
                   [&] { return now += 1e-6; }, {.budget = all_bytes(a)});
    s.run();
    std::mt19937 random(1);
    double off = 0;
    int cases = 0;
    for (int n = 0; n < 2000; ++n) {
        const int q = n % 8;
        std::vector<char> in(16, 0);
        std::vector<int> set;
        for (int i = 0; i < 16; ++i)
            if (random() % 3 == 0) {
                in[static_cast<size_t>(i)] = 1;
                set.push_back(i);
            }
        const double real = a.cost_of(q, in), reckoned = s.estimate(q, set);
        EXPECT_GE(reckoned, real - 1e-6) << "a skeleton is a plan: never cheaper than the best";
        off += reckoned / real - 1;
        ++cases;
    }
    EXPECT_LT(off / cases, 0.05);
}

TEST(IndexSearchApart, IsDeterministicAndKeepsItsLimits) {
    archive a = random_archive(7, 20, 8), b = random_archive(7, 20, 8);
    const search_result x = search(a, {.budget = 1e6}), y = search(b, {.budget = 1e6}, 1e-5);
    ASSERT_EQ(x.steps.size(), y.steps.size());
    for (size_t i = 0; i < x.steps.size(); ++i)
        EXPECT_EQ(x.steps[i].index, y.steps[i].index);
    EXPECT_LE(search(a, {.most = 3}).steps.size(), 3u);
    EXPECT_FALSE(search(a, {.budget = 1e6, .deadline = 2e-5}).complete);
}

} // namespace
