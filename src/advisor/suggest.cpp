#include "advisor/role_scope.hpp"
#include "advisor/universe.hpp"
#include "core/index_search.hpp"
#include "pg/catalog_text.hpp"
#include "pg/transaction.hpp"
#include <chrono>
#include <cmath>
#include <random>

namespace dbopt::advisor {

namespace whatif = pg::whatif;

namespace {

double seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct workload {
    std::vector<double> weight, cost;
    std::vector<int64_t> id;
    std::vector<int> position, relations;
    std::vector<std::pair<Oid, std::string>> who; // role and search_path
};

void check(const suggest_options &o) {
    auto bad = [](const std::string &message, const std::string &hint) {
        pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE, .message = message, .hint = hint});
    };
    if (o.budget_bytes && *o.budget_bytes < 0)
        bad("budget_bytes must not be negative, got " + std::to_string(*o.budget_bytes),
            "Leave it NULL for no limit.");
    if (o.max_indexes && *o.max_indexes < 0)
        bad("max_indexes must not be negative, got " + std::to_string(*o.max_indexes),
            "Leave it NULL for no limit.");
    if (o.max_width < 1 || o.max_width > 32)
        bad("max_width must be from 1 to 32, got " + std::to_string(o.max_width),
            "Three columns serve most workloads.");
    if (!(o.time_limit_s > 0))
        bad("time_limit must be longer than zero", "The default is 30 seconds.");
    for (const weighted_query &q : o.queries)
        if (!std::isfinite(q.weight) || q.weight < 0)
            bad("a weight must be a finite number that is not negative, got " + std::to_string(q.weight),
                "Weights are how often each query runs, relative to the others.");
    static constexpr std::array known{"btree", "gin", "brin", "hash"};
    for (const std::string &m : o.methods)
        if (std::find(known.begin(), known.end(), m) == known.end())
            bad("index method \"" + m + "\" cannot be advised on",
                "Known methods: btree, gin, brin, hash.");
}

std::string shortened(const std::string &text) {
    std::string line = pg::clip_identifier(text, 60);
    std::replace_if(line.begin(), line.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
    return text.size() > 60 ? line + " ..." : line;
}

// Observed statements that cannot be planned, told once, by reason.
class omissions {
  public:
    void add(const std::string &why) {
        ++count_;
        if (const auto i = std::find_if(reasons_.begin(), reasons_.end(), [&](const auto &r) { return r.first == why; });
            i != reasons_.end())
            ++i->second;
        else
            reasons_.emplace_back(why, 1);
    }
    void tell(size_t of) {
        if (count_ == 0)
            return;
        std::stable_sort(reasons_.begin(), reasons_.end(), [](const auto &a, const auto &b) { return a.second > b.second; });
        constexpr size_t most = 5;
        std::string detail;
        for (size_t i = 0; i < std::min(most, reasons_.size()); ++i)
            detail += (i > 0 ? "\n" : "") + std::to_string(reasons_[i].second) + ": " + reasons_[i].first;
        if (reasons_.size() > most)
            detail += "\nand " + std::to_string(reasons_.size() - most) + " other reasons";
        pg::notice(std::to_string(count_) + " of " + std::to_string(of) +
                       " observed statements cannot be planned and do not count", detail, "");
    }

  private:
    size_t count_ = 0;
    std::vector<std::pair<std::string, int>> reasons_;
};

// Parses and plans every query; those that fail are skipped with a warning.
workload read(whatif::engine &engine, universe &all, const suggest_options &o) {
    workload w;
    std::optional<pg::error> first;
    omissions skipped;
    std::vector<std::pair<int, std::vector<whatif::relation_use>>> inspected;
    for (size_t i = 0; i < o.queries.size(); ++i) {
        const weighted_query &q = o.queries[i];
        if (q.weight == 0)
            continue;
        int number = -1;
        double cost = 0;
        std::vector<whatif::relation_use> uses;
        auto failed = pg::subtransaction([&] {
            const role_scope as(q.role, q.path);
            number = engine.add_query(q.text, q.parameters);
            if (o.observed)
                refuse_temporary(engine, number);
            std::tie(cost, uses) = engine.inspect(number);
        });
        if (failed) {
            if (number >= 0)
                engine.forget_last();
            if (o.observed) {
                if (!q.utility) // most of those have no plan
                    skipped.add(failed->message());
                continue;
            }
            pg::warning("query " + std::to_string(i + 1) + " is skipped: " + failed->message(),
                        "The query begins: " + shortened(q.text),
                        failed->hint() != nullptr ? failed->hint() : "");
            if (!first)
                first.emplace(std::move(*failed));
            continue;
        }
        if (o.observed && q.weight > 1) // its other calls need not have the same constants
            for (whatif::relation_use &use : uses)
                std::erase_if(use.uses, [&](const whatif::column_use &u) {
                    return u.expression != nullptr && pg::has_passing_constant(u.expression, q.steady, q.passing);
                });
        all.note(uses);
        w.relations.push_back(static_cast<int>(uses.size()));
        inspected.emplace_back(number, std::move(uses));
        if (o.observed && q.weight >= 3) // what ran once or twice was a load or a repair
            all.add_writes(number, q.rows);
        w.weight.push_back(q.weight);
        w.cost.push_back(cost);
        const int64_t id = q.query_id != 0 ? q.query_id : engine.query_id(number);
        w.id.push_back(id != 0 ? id : static_cast<int64_t>(i + 1));
        w.position.push_back(static_cast<int>(i));
        w.who.emplace_back(q.role, q.path);
    }
    skipped.tell(static_cast<size_t>(std::count_if(o.queries.begin(), o.queries.end(), [](const weighted_query &q) { return !q.utility; })));
    if (w.weight.empty() && first)
        throw std::move(*first);
    for (const auto &[number, uses] : inspected)
        all.add_query(number, uses);
    return w;
}

// What reading each relation costs with each candidate, for the arithmetic of the search.
std::vector<std::vector<int>> rivals(whatif::engine &engine, const universe &all, const workload &w, int query,
                                     const std::map<int, int> &by_engine) {
    std::vector<int> ids;
    for (const std::vector<int> &some : {all.own(query), all.shared(query)})
        for (const int i : some)
            ids.push_back(all[i].engine_id);
    if (ids.empty())
        return {};
    const role_scope as(w.who[query].first, w.who[query].second);
    std::vector<std::vector<int>> out = engine.price(query, ids);
    for (std::vector<int> &purpose : out)
        for (int &id : purpose)
            id = by_engine.at(id);
    return out;
}

core::planned translated(const whatif::outcome &o, const std::map<int, int> &by_engine) {
    core::planned out{.cost = o.cost, .used = {}, .leaves = {}, .needs = {}, .apart = true};
    for (const int id : o.used)
        out.used.push_back(by_engine.at(id));
    for (const int id : o.needs)
        out.needs.push_back(by_engine.at(id));
    for (const whatif::outcome::leaf &l : o.leaves) {
        core::planned::leaf to{.now = l.now, .options = {}};
        for (const auto &[id, cost] : l.options)
            to.options.push_back({id < 0 ? -1 : by_engine.at(id), cost});
        out.leaves.push_back(std::move(to));
    }
    return out;
}

// An index that others want may spoil a query's plan: the planner reads the order that it offers, in the
// belief that the wanted rows lie evenly in it. What that may cost counts against the index, and the query
// does not get it to see. Removes the gamblers from the query's candidates.
void weigh_gambles(whatif::engine &engine, const universe &all, const workload &w, int query,
                   core::search_query *q, std::vector<core::search_index> *indexes) {
    const std::vector<int> gamblers = all.gamblers(query, q->shared);
    if (gamblers.empty())
        return;
    const auto gambles = [&](int i) { return std::find(gamblers.begin(), gamblers.end(), i) != gamblers.end(); };
    std::erase_if(q->shared, gambles);
    std::vector<int> shown;
    for (const std::vector<int> &some : {q->relevant, q->shared})
        for (const int i : some)
            shown.push_back(all[i].engine_id);
    const role_scope as(w.who[query].first, w.who[query].second);
    const double without = engine.plan(query, shown).cost;
    constexpr size_t most = 24;
    for (size_t g = 0; g < std::min(most, gamblers.size()); ++g) {
        shown.push_back(all[gamblers[g]].engine_id);
        const whatif::outcome with = engine.plan(query, shown);
        shown.pop_back();
        if (std::find(with.used.begin(), with.used.end(), all[gamblers[g]].engine_id) == with.used.end())
            continue;
        (*indexes)[gamblers[g]].upkeep += w.weight[query] * std::max(0.0, with.cost + with.gamble - without);
    }
}

core::search_result search(whatif::engine &engine, universe &all, const workload &w,
                           const suggest_options &o, double started, core::index_search **keep,
                           std::unique_ptr<core::index_search> &owner) {
    std::vector<core::search_index> indexes;
    for (int i = 0; i < all.size(); ++i)
        indexes.push_back({.bytes = all.bytes_at_most(i),
                           .upkeep = o.observed ? all.upkeep(i) : 0,
                           .relation = all[i].shape.relation,
                           .width = static_cast<int>(all[i].shape.width()),
                           .prefixes = all.prefixes(i)});
    std::map<int, int> by_engine;
    for (int i = 0; i < all.size(); ++i)
        by_engine[all[i].engine_id] = i;
    std::vector<core::search_query> queries;
    for (size_t q = 0; q < w.weight.size(); ++q) {
        const int n = static_cast<int>(q);
        queries.push_back({.weight = w.weight[q], .cost = w.cost[q], .relevant = all.own(n), .shared = all.shared(n)});
        queries.back().rivals = rivals(engine, all, w, n, by_engine);
        weigh_gambles(engine, all, w, n, &queries.back(), &indexes);
        queries.back().effort = std::pow(1.7, std::max(0, w.relations[q] - 5));
    }
    core::search_limits limits;
    if (o.budget_bytes)
        limits.budget = static_cast<double>(*o.budget_bytes);
    if (o.max_indexes)
        limits.most = *o.max_indexes;
    limits.deadline = started + o.time_limit_s * 0.95;
    owner = std::make_unique<core::index_search>(
        std::move(indexes), std::move(queries),
        [&, by_engine](int q, std::span<const int> set) {
            std::vector<int> ids;
            for (const int i : set)
                ids.push_back(all[i].engine_id);
            const role_scope as(w.who[q].first, w.who[q].second);
            const whatif::outcome outcome = engine.plan(q, ids);
            return translated(outcome, by_engine);
        },
        seconds, limits);
    *keep = owner.get();
    return owner->run();
}

// Random sets from each query's pool: how fast plans and arithmetic are, and how far apart.
search_figures measure(whatif::engine &engine, const universe &all, const workload &w,
                       const core::index_search &s) {
    search_figures out;
    std::minstd_rand random(7);
    const size_t queries = w.weight.size();
    auto some_of = [&](const std::vector<int> &from, size_t most) {
        std::vector<int> set;
        for (size_t n = 1 + random() % most; n > 0 && !from.empty(); --n)
            set.push_back(from[random() % from.size()]);
        std::sort(set.begin(), set.end());
        set.erase(std::unique(set.begin(), set.end()), set.end());
        return set;
    };
    auto planned = [&](size_t q, const std::vector<int> &set) {
        std::vector<int> ids;
        for (const int i : set)
            ids.push_back(all[i].engine_id);
        const role_scope as(w.who[q].first, w.who[q].second);
        return engine.plan(static_cast<int>(q), ids).cost;
    };
    std::vector<std::vector<int>> pools;
    for (size_t q = 0; q < queries; ++q)
        pools.push_back(s.pool(static_cast<int>(q)));
    int64_t n = 0;
    double begun = seconds();
    for (; seconds() < begun + 2; ++n)
        planned(static_cast<size_t>(n) % queries, some_of(pools[static_cast<size_t>(n) % queries], 1));
    out.plans_per_s = static_cast<double>(n) / (seconds() - begun);
    std::vector<double> errors;
    std::vector<std::pair<size_t, std::vector<int>>> cases;
    for (size_t i = 0; i < 600; ++i) {
        const size_t q = i % queries;
        cases.emplace_back(q, some_of(pools[q], 8));
        const double real = planned(q, cases.back().second);
        errors.push_back(100 * std::abs(s.estimate(static_cast<int>(q), cases.back().second) - real) / std::max(real, 1e-9));
    }
    std::sort(errors.begin(), errors.end());
    out.median_error_pct = errors[errors.size() / 2];
    out.p90_error_pct = errors[errors.size() * 9 / 10];
    begun = seconds();
    double sum = 0;
    for (n = 0; n % 6000 != 0 || seconds() < begun + 1; ++n)
        sum += s.estimate(static_cast<int>(cases[n % 600].first), cases[n % 600].second);
    out.recostings_per_s = sum > 0 ? static_cast<double>(n) / (seconds() - begun) : 0;
    return out;
}

std::string number(double d) {
    char buffer[32];
    snprintf(buffer, sizeof buffer, d < 1000 ? "%.1f" : "%.0f", d);
    return buffer;
}

// An index on a partitioned table is on its partitions, too: the same one there would be a duplicate.
bool comes_with_parent(const universe &all, const std::vector<core::search_step> &steps, int index) {
    const std::vector<Oid> above = pg::partitioned_above(all[index].spec.relation);
    return std::any_of(steps.begin(), steps.end(), [&](const core::search_step &s) {
        return std::find(above.begin(), above.end(), all[s.index].spec.relation) != above.end() &&
               all.columns_text(s.index) == all.columns_text(index);
    });
}

} // namespace

std::vector<suggestion> suggest(const suggest_options &o) {
    check(o);
    const double started = seconds();
    whatif::engine engine;
    universe all(engine, o);
    const workload w = read(engine, all, o);
    const double parsed = seconds();
    all.finish();
    const double priced = seconds();
    core::index_search *searched = nullptr;
    std::unique_ptr<core::index_search> owner;
    const core::search_result found = search(engine, all, w, o, started, &searched, owner);
    pg::debug("index search: " + std::to_string(all.size()) + " candidates, " +
              std::to_string(engine.plans_made()) + " plans (" + std::to_string(found.plans_exploring) +
              " exploring, " + std::to_string(found.plans_singly) + " of single indexes), " + std::to_string(found.evaluations) +
              " evaluations, " + number((seconds() - started) * 1000) + " ms (reading " + number((parsed - started) * 1000) +
              ", pricing " + number((priced - parsed) * 1000) + ")");
    if (o.measure != nullptr && !w.weight.empty())
        *o.measure = measure(engine, all, w, *searched);
    if (!found.complete)
        pg::notice("the time limit was reached before the search was finished",
                   "The result is the best set found so far.", "Raise time_limit.");
    std::vector<suggestion> out;
    std::vector<int> set;
    std::vector<double> now = w.cost;
    for (const core::search_step &step : found.steps) {
        set.push_back(step.index);
        if (comes_with_parent(all, found.steps, step.index))
            continue;
        const universe::entry &e = all[step.index];
        suggestion s;
        s.relation = e.spec.relation;
        s.ddl = all.ddl(step.index);
        s.size_bytes = static_cast<int64_t>(e.bytes);
        s.build_ms = all.build_ms(step.index);
        s.cost_before = out.empty() ? found.cost_before : out.back().cost_after;
        s.cost_after = step.cost_after;
        s.write_cost = o.observed ? all.upkeep(step.index) : 0;
        int best = -1;
        double most = 0;
        for (size_t q = 0; q < w.weight.size(); ++q) {
            const double cost = searched->cost_under(static_cast<int>(q), set);
            if (cost < now[q] * 0.999) {
                s.query_ids.push_back(w.id[q]);
                if ((now[q] - cost) * w.weight[q] > most) {
                    most = (now[q] - cost) * w.weight[q];
                    best = static_cast<int>(q);
                }
                if (best == static_cast<int>(q))
                    s.reason = "query " + std::to_string(o.observed ? w.id[q] : w.position[q] + 1) + ": cost " +
                               number(now[q]) + " -> " + number(cost) + " by " +
                               all.explain_use(step.index, best);
            }
            now[q] = cost;
        }
        s.reason = "helps " + std::to_string(s.query_ids.size()) + " of " +
                   std::to_string(w.weight.size()) + " queries" +
                   (s.reason.empty() ? "" : "; most in " + s.reason);
        out.push_back(std::move(s));
    }
    return out;
}

} // namespace dbopt::advisor
