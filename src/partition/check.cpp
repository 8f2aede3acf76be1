// What is wrong with managed sets, and the list of their partitions.
#include "partition/conversion.hpp"
#include "pg/query.hpp"
#include "pg/relation.hpp"
#include <algorithm>
#include <memory>

namespace dbopt::partition {

namespace {

struct checker {
    open_set &s;
    std::vector<finding> &out;
    void add(const char *severity, const char *problem, std::string detail, std::string fix) {
        out.push_back({s.table.relation, severity, problem, std::move(detail), std::move(fix)});
    }
    std::string maintain() const {
        return "SELECT * FROM dbopt.partition_maintain(" + pg::quote_literal(s.parent_name()) + ")";
    }
    std::string range(const core::bounds &b) const { return s.text(b.lower) + " to " + s.text(b.upper); }
    void bounds();
    void default_rows();
    void catalogs();
};

void checker::bounds() {
    std::vector<core::partition_state> states;
    for (size_t i = 0; i < s.table.partitions.size(); ++i) {
        const pg::partition_entry &e = s.table.partitions[i];
        states.push_back({e.range, e.pending, static_cast<int>(i), e.fine_upper});
        if (!e.readable)
            add("warning", "bound not understood", e.name, "");
        if (e.pending)
            add("critical", "detach pending",
                "rows of " + e.name + " are invisible through the parent until the detach is finished",
                "ALTER TABLE " + s.parent_name() + " DETACH PARTITION " +
                    pg::qualified_name(e.relation) + " FINALIZE");
        if (e.owner != s.table.owner)
            add("warning", "wrong owner",
                e.name + " belongs to " + pg::role_name(e.owner) + ", the parent to " +
                    pg::role_name(s.table.owner),
                "ALTER TABLE " + pg::qualified_name(e.relation) + " OWNER TO " +
                    pg::quote_identifier(pg::role_name(s.table.owner)));
    }
    s.now = current_position(s);
    const core::partition_plan plan = core::plan_partitions(s.calendar, rules_of(s), states, s.now);
    for (const core::bounds &g : plan.gaps)
        add("warning", "gap", range(g) + " has no partition", maintain());
    for (const core::bounds &g : plan.unfilled)
        add("warning", "hole too long", range(g) + " would take more than 10000 partitions: it is not filled",
            "SELECT * FROM dbopt.partition_manage(" + pg::quote_literal(s.parent_name()) + ", " + pg::quote_literal(s.config.step) +
                ", start_at => ...) says where to begin.");
    for (const core::bounds &o : plan.overlaps)
        add("warning", "overlap", range(o) + " is claimed twice, or a bound has further columns", "");
    if (plan.open_ended)
        add("warning", "open end", "a partition reaches to MAXVALUE, so none can be made ahead",
            "Detach it and attach it again with an upper bound.");
    else if (plan.ahead == 0)
        add("critical", "nothing planned ahead", "no partition begins after now", maintain());
    else if (plan.ahead < s.config.premake)
        add("warning", "too few planned ahead",
            std::to_string(plan.ahead) + " of " + std::to_string(s.config.premake), maintain());
    if (!plan.retire.empty())
        add("notice", "retention due", std::to_string(plan.retire.size()) + " partitions are past retention",
            maintain());
}

void checker::default_rows() {
    if (s.config.default_partition && !s.table.has_default)
        add("warning", "no default partition", "one is wanted and there is none", maintain());
    if (!s.table.has_default || s.table.default_partition.kind != 'r')
        return;
    const std::string name = pg::qualified_name(s.table.default_partition.relation);
    if (!pg::try_lock(s.table.default_partition.relation, AccessShareLock)) {
        add("notice", "default not read", name + " is locked: it was not looked at for rows", "");
        return;
    }
    const pg::as_owner owner(s.table.owner);
    if (!pg::scalar<bool>("SELECT EXISTS (SELECT FROM ONLY " + name + ")").value_or(false))
        return;
    if (!anything_to_drain(s))
        add("notice", "rows in default", name + " holds rows that no partition is made for: NULL or infinite keys, further ahead than premake, "
            "before start_at, or past retention", "DELETE them, or change premake, start_at or retention with dbopt.partition_manage.");
    else
        add("warning", "rows in default",
            name + " holds rows; they are never pruned or retired, and slow down every new partition",
            "CALL dbopt.partition_drain_default(" + pg::quote_literal(s.parent_name()) + ")");
}

void checker::catalogs() {
    for (const pg::row r : pg::query(
             "SELECT c.relname::text, x.relname::text, coalesce(dbopt._index_ddl(x.oid), '') FROM pg_inherits h "
             "JOIN pg_class c ON c.oid = h.inhrelid JOIN pg_index p ON p.indrelid = h.inhparent "
             "JOIN pg_class x ON x.oid = p.indexrelid "
             "WHERE h.inhparent = $1 AND c.relkind IN ('r', 'p') AND NOT EXISTS (SELECT FROM pg_inherits hi "
             "JOIN pg_index i ON i.indexrelid = hi.inhrelid WHERE hi.inhparent = p.indexrelid "
             "AND i.indrelid = c.oid)", {s.table.relation}))
        add("warning", "missing index", r.get<std::string>(0) + " has no part of index " + r.get<std::string>(1),
            r.get<std::string>(2));
    for (const pg::row r : pg::query(
             "SELECT x.relname::text FROM pg_index p JOIN pg_class x ON x.oid = p.indexrelid "
             "WHERE p.indrelid = $1 AND NOT p.indisvalid", {s.table.relation}))
        add("warning", "invalid index", r.get<std::string>(0) + " of the parent is not valid: some partition lacks it",
            "Create the index on each partition and ALTER INDEX ... ATTACH PARTITION.");
    for (const pg::row r : pg::query(
             "SELECT setdatabase, coalesce(datname, '-')::text, coalesce(rolname, '-')::text "
             "FROM pg_db_role_setting LEFT JOIN pg_database d ON d.oid = setdatabase "
             "LEFT JOIN pg_roles r ON r.oid = setrole "
             "WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) "
             "AND setconfig @> '{enable_partition_pruning=off}'"))
        add("warning", "pruning disabled",
            "enable_partition_pruning is off for database " + r.get<std::string>(1) + ", role " + r.get<std::string>(2),
            "ALTER DATABASE ... / ALTER ROLE ... RESET enable_partition_pruning");
    if (pg::scalar<std::string>("SELECT current_setting('enable_partition_pruning')") == "off")
        add("warning", "pruning disabled", "enable_partition_pruning is off", "SET enable_partition_pruning = on");
}

std::vector<std::unique_ptr<open_set>> open_all(const std::vector<set_config> &configs,
                                                std::vector<pg::partitioned_table> &tables,
                                                std::vector<finding> *gone) {
    std::vector<Oid> relations;
    std::vector<core::key_unit> units;
    for (const set_config &c : configs) {
        relations.push_back(c.parent);
        units.push_back(c.unit);
    }
    tables = pg::read_partitions(relations, units);
    std::vector<std::unique_ptr<open_set>> sets;
    for (size_t i = 0; i < configs.size(); ++i) {
        if (tables[i].relation != InvalidOid && tables[i].strategy == 'r')
            sets.push_back(std::make_unique<open_set>(configs[i], tables[i]));
        else if (gone != nullptr)
            gone->push_back({configs[i].parent, "warning", "table is gone",
                             "the managed table was dropped or is not partitioned any more",
                             "SELECT dbopt.partition_unmanage(" + std::to_string(configs[i].parent) + "::regclass)"});
    }
    return sets;
}

// How far ids have come is read from the data: that would wait behind an exclusive lock.
bool locked(const open_set &s) {
    for (const pg::partition_entry &e : s.table.partitions) {
        if (!pg::try_lock(e.relation, AccessShareLock))
            return true;
        pg::unlock(e.relation, AccessShareLock);
    }
    return false;
}

int rank(const std::string &severity) {
    return severity == "critical" ? 0 : severity == "warning" ? 1 : 2;
}

} // namespace

std::vector<finding> check(Oid parent) {
    const std::vector<set_config> configs = load_sets(parent);
    std::vector<finding> found;
    if (configs.empty() && parent != InvalidOid) {
        found.push_back({parent, "notice", "not managed", "dbopt does not look after this table",
                         "SELECT * FROM dbopt.partition_manage(" +
                             pg::quote_literal(pg::qualified_name(parent)) + ", '1 month')"});
        return found;
    }
    std::vector<pg::partitioned_table> tables;
    for (const auto &s : open_all(configs, tables, &found)) {
        checker c{*s, found};
        const bool readable = pg::owns(s->table.relation) ||
                              pg::call([&] { return pg_class_aclcheck(s->table.relation, GetUserId(), ACL_SELECT) == ACLCHECK_OK; });
        if (!readable) {
            c.add("notice", "not checked", "only its owner or a reader of the table may look into it", "");
            continue;
        }
        if (s->config.unit == core::key_unit::id && locked(*s)) {
            c.add("notice", "not checked", "a partition is locked exclusively", "");
            continue;
        }
        c.bounds();
        c.default_rows();
        c.catalogs();
    }
    std::stable_sort(found.begin(), found.end(),
                     [](const auto &a, const auto &b) { return rank(a.severity) < rank(b.severity); });
    return found;
}

std::vector<listed> list(Oid parent) {
    const std::vector<set_config> configs = load_sets(parent);
    std::vector<pg::partitioned_table> tables;
    std::vector<listed> rows;
    for (const auto &s : open_all(configs, tables, nullptr)) {
        std::vector<pg::partition_entry> &parts = s->table.partitions;
        std::sort(parts.begin(), parts.end(),
                  [](const auto &a, const auto &b) { return a.range < b.range; });
        for (const pg::partition_entry &e : parts) {
            listed l{.parent = s->table.relation, .partition = e.relation, .is_default = false,
                     .pending = e.pending, .lower = s->text(e.range.lower), .upper = s->text(e.range.upper),
                     .lower_time = {}, .upper_time = {}, .lower_id = {}, .upper_id = {}};
            const auto time = [&](core::position p) -> pg::timestamptz {
                const int64_t us = core::to_us(s->config.unit, p);
                const bool finite = us != core::infinity && us != core::minus_infinity;
                return {core::is_instant(s->config.unit) || !finite ? us : s->zone.to_instant(us)};
            };
            if (core::keeps_time(s->config.unit)) {
                l.lower_time = time(e.range.lower);
                l.upper_time = time(e.range.upper);
            } else {
                if (e.range.lower != core::minus_infinity)
                    l.lower_id = e.range.lower;
                if (e.range.upper != core::infinity)
                    l.upper_id = e.range.upper;
            }
            rows.push_back(std::move(l));
        }
        if (s->table.has_default)
            rows.push_back({.parent = s->table.relation, .partition = s->table.default_partition.relation,
                            .is_default = true, .pending = false, .lower = {}, .upper = {},
                            .lower_time = {}, .upper_time = {}, .lower_id = {}, .upper_id = {}});
    }
    return rows;
}

} // namespace dbopt::partition
