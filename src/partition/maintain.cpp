// One round over managed sets: read, decide, do, one subtransaction per command.
#include "partition/maintain.hpp"
#include "pg/advisory.hpp"
#include "core/hold.hpp"
#include "pg/pause.hpp"
#include "pg/query.hpp"
#include "pg/relation.hpp"
#include "pg/transaction.hpp"
#include <algorithm>
#include <map>
#include <memory>

namespace dbopt::partition {

namespace {

const char *action_name(const task &t) {
    switch (t.kind) {
    case task::retire: return mode_name(t.set->config.mode);
    case task::finalize: return "finalize";
    default: return "create";
    }
}

bool wanted(const maintain_options &o, std::string_view action) {
    return o.actions.empty() ||
           std::find(o.actions.begin(), o.actions.end(), action) != o.actions.end();
}

void refuse_unknown_actions(const std::vector<std::string> &actions) {
    for (const std::string &a : actions)
        if (a != "create" && a != "drop" && a != "detach" && a != "archive" && a != "finalize" &&
            a != "drain")
            pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE,
                       .message = "unknown action \"" + a + "\"",
                       .hint = "The actions are create, drop, detach, archive, finalize, drain."});
}

// on_reference => 'cascade': the rows of other tables that refer to the partition go first.
std::vector<std::string> cascade_commands(const open_set &s, const std::string &partition) {
    std::vector<std::string> commands;
    if (!s.config.cascade)
        return commands;
    for (const pg::row r : pg::query(
             "SELECT f.conrelid, string_agg(format('c.%I = p.%I', a.attname, b.attname), ' AND ' ORDER BY k.n) "
             "FROM pg_constraint f CROSS JOIN LATERAL unnest(f.conkey, f.confkey) WITH ORDINALITY k(ours, theirs, n) "
             "JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.ours "
             "JOIN pg_attribute b ON b.attrelid = f.confrelid AND b.attnum = k.theirs "
             "WHERE f.confrelid = $1 AND f.contype = 'f' AND f.conparentid = 0 GROUP BY f.oid, f.conrelid ORDER BY f.oid",
             {s.table.relation}))
        commands.push_back("DELETE FROM " + pg::qualified_name(r.get<Oid>(0)) + " c USING " + partition +
                           " p WHERE " + r.get<std::string>(1));
    return commands;
}

std::vector<std::string> retire_commands(const open_set &s, Oid partition, bool pending = false) {
    const std::string name = pg::qualified_name(partition);
    std::vector<std::string> commands;
    if (!pending)
        commands = cascade_commands(s, name);
    commands.push_back("ALTER TABLE " + s.parent_name() + " DETACH PARTITION " + name +
                       (pending ? " FINALIZE" : ""));
    if (pending)
        return commands;
    for (std::string &c : after_detach(s.config, name))
        commands.push_back(std::move(c));
    return commands;
}

recipe recipe_of(task &t) {
    recipe r = make_recipe(*t.set, t.kind == task::create ? &t.range : nullptr);
    std::vector<std::string> all = r.before_attach;
    all.insert(all.end(), r.after_attach.begin(), r.after_attach.end());
    t.row.command = join(all, ";\n");
    t.row.partition = r.name;
    t.row.detail = r.note;
    return r;
}

// Locks in the house's order before anything is made, so that a try that fails has cost nothing.
void lock_in_order(const open_set &s, const char *parent_mode) {
    pg::execute("LOCK TABLE ONLY " + s.parent_name() + " IN " + parent_mode + " MODE");
    if (s.table.has_default)
        pg::execute("LOCK TABLE ONLY " + pg::qualified_name(s.table.default_partition.relation) +
                    " IN ACCESS EXCLUSIVE MODE");
}

void carry_out(task &t) {
    const pg::as_owner owner(t.set->table.owner);
    pg::wait_for_locks(config.lock_timeout_ms);
    if (t.kind == task::create || t.kind == task::create_default) {
        lock_in_order(*t.set, "SHARE UPDATE EXCLUSIVE");
        const recipe r = recipe_of(t);
        for (const auto *list : {&r.before_attach, &r.after_attach})
            for (const std::string &command : *list)
                pg::query(command);
        return;
    }
    // The deletes of a cascade may take long and come before the lock.
    if (t.kind == task::finalize || !t.set->config.cascade)
        lock_in_order(*t.set, t.kind == task::finalize ? "SHARE UPDATE EXCLUSIVE" : "ACCESS EXCLUSIVE");
    for (const std::string &command :
         retire_commands(*t.set, t.relation, t.kind == task::finalize))
        pg::query(command);
    if (t.kind == task::finalize)
        note_finalized(t.relation);
    crash_point("retire:done");
}

bool lock_trouble(const pg::error &e) {
    return e.code() == ERRCODE_LOCK_NOT_AVAILABLE || e.code() == ERRCODE_T_R_DEADLOCK_DETECTED;
}

// Rows of a would-be range that already sit in the default partition.
bool default_has_rows(const open_set &s, const core::bounds &b) {
    if (!s.table.has_default || s.table.key_column.empty() || s.table.default_partition.kind != 'r')
        return false;
    const pg::as_owner owner(s.table.owner);
    const std::string column = pg::quote_identifier(s.table.key_column);
    std::string where = "true";
    if (b.lower != core::minus_infinity)
        where += " AND " + column + " >= " + s.literal(b.lower);
    if (b.upper != core::infinity)
        where += " AND " + column + " < " + s.literal(b.upper);
    return pg::scalar<bool>("SELECT EXISTS (SELECT FROM ONLY " +
                            pg::qualified_name(s.table.default_partition.relation) + " WHERE " +
                            where + ")")
        .value_or(false);
}

void start_row(task &t) {
    t.row.parent = t.set->table.relation;
    t.row.action = action_name(t);
    if (t.kind == task::create || t.kind == task::retire || t.kind == task::finalize) {
        t.row.lower = t.set->text(t.range.lower);
        t.row.upper = t.set->text(t.range.upper);
    }
    if (t.relation != InvalidOid) {
        t.row.partition = pg::qualified_name(t.relation);
        t.row.command = join(retire_commands(*t.set, t.relation, t.kind == task::finalize), ";\n");
    }
}

void plan_set(open_set &s, const maintain_options &o, std::vector<task> &tasks, std::vector<outcome> &rows) {
    std::vector<core::partition_state> states;
    states.reserve(s.table.partitions.size());
    for (size_t i = 0; i < s.table.partitions.size(); ++i) {
        const pg::partition_entry &e = s.table.partitions[i];
        states.push_back({e.range, e.pending, static_cast<int>(i), e.fine_upper});
    }
    s.now = current_position(s);
    const core::partition_plan plan = core::plan_partitions(s.calendar, rules_of(s), states, s.now);
    const auto push = [&](task t) {
        start_row(t);
        tasks.push_back(std::move(t));
    };
    if (wanted(o, "finalize"))
        for (const int id : plan.finalize)
            push({.set = &s, .kind = task::finalize, .range = s.table.partitions[id].range,
                  .relation = s.table.partitions[id].relation});
    if (wanted(o, "create")) {
        for (const core::bounds &b : plan.unfilled)
            rows.push_back({.parent = s.table.relation, .action = "create", .partition = {}, .lower = s.text(b.lower), .upper = s.text(b.upper),
                            .command = {}, .status = "skipped", .detail = "the hole would take more than 10000 partitions: it is not filled"});
        for (const core::bounds &b : plan.create)
            push({.set = &s, .kind = task::create, .range = b});
        if (s.config.default_partition && !s.table.has_default)
            push({.set = &s, .kind = task::create_default});
    }
    if (wanted(o, mode_name(s.config.mode)))
        for (const int id : plan.retire)
            push({.set = &s, .kind = task::retire, .range = s.table.partitions[id].range,
                  .relation = s.table.partitions[id].relation});
}

void describe_failure(task &t, const pg::error &e) {
    t.finished = true;
    t.row.status = "failed";
    t.row.detail = std::string(e.message()) + (e.detail() != nullptr ? std::string(" (") + e.detail() + ")" : "");
    if (e.code() == ERRCODE_FOREIGN_KEY_VIOLATION && t.kind == task::retire)
        t.row.detail += "; rows of another table refer to this partition: delete them first, or call "
                        "partition_manage(..., on_reference => 'cascade')";
}

void attempt(task &t, const maintain_options &o) {
    if (t.kind == task::create && default_has_rows(*t.set, t.range)) {
        t.finished = true;
        t.row.status = "queued";
        t.row.action = "drain";
        t.row.detail = "the default partition holds rows of this range";
        t.row.command = "CALL dbopt.partition_drain_default(" + pg::quote_literal(t.set->parent_name()) + ")";
        if (o.retire)
            queue_drain(t);
        return;
    }
    std::optional<pg::error> failure = pg::subtransaction([&] { carry_out(t); });
    if (!failure) {
        t.finished = true;
        t.row.status = "done";
    } else if (lock_trouble(*failure)) {
        t.row.status = "skipped";
        t.row.detail = "no lock within dbopt.partition_lock_wait: another transaction holds the table; "
                       "the next round tries again";
    } else {
        describe_failure(t, *failure);
    }
}

// Every task once, then again those that only lacked a lock, with growing pauses between.
void run(std::vector<task> &tasks, const maintain_options &o) {
    const int64_t wait_ms = o.lock_wait_ms >= 0 ? o.lock_wait_ms : config.lock_wait_s * 1000;
    const int64_t deadline = pg::clock().us + wait_ms * 1000;
    int64_t pause = 100;
    for (;;) {
        bool left = false;
        for (task &t : tasks) {
            if (t.finished)
                continue;
            std::optional<pg::error> failure = pg::subtransaction([&] { attempt(t, o); });
            if (failure)
                describe_failure(t, *failure);
            left |= !t.finished;
        }
        if (!left || pg::clock().us + pause * 1000 > deadline)
            return;
        pg::pause(pause);
        pause = std::min<int64_t>(pause * 2, 500);
    }
}

void plan_only(task &t, const maintain_options &o) {
    t.finished = true;
    t.row.status = "planned";
    if (t.kind == task::retire && !o.dry_run)
        t.row.detail = "partition_maintain carries it out";
    if (t.relation == InvalidOid) {
        const pg::as_owner owner(t.set->table.owner);
        recipe_of(t);
    }
}

// Configurations, catalogs and tasks of one round; the sets live as long as this does.
struct round_plan {
    std::vector<set_config> configs;
    std::vector<pg::partitioned_table> tables;
    std::vector<std::unique_ptr<open_set>> sets;
    std::vector<task> tasks;
    std::vector<outcome> rows;

    void report(size_t i, const char *status, std::string detail) {
        rows.push_back({.parent = configs[i].parent, .action = "create", .partition = {}, .lower = {},
                        .upper = {}, .command = {}, .status = status, .detail = std::move(detail)});
    }
    void read(const maintain_options &o);
};

void round_plan::read(const maintain_options &o) {
    configs = load_sets(o.parent);
    std::vector<Oid> relations;
    std::vector<core::key_unit> units;
    for (const set_config &c : configs) {
        relations.push_back(c.parent);
        units.push_back(c.unit);
    }
    tables = pg::read_partitions(relations, units);
    const Oid me = o.on_behalf_of != InvalidOid ? o.on_behalf_of : pg::caller();
    for (size_t i = 0; i < configs.size(); ++i) {
        if (tables[i].relation == InvalidOid || tables[i].strategy != 'r') {
            report(i, "skipped", "the table is gone; SELECT dbopt.partition_unmanage() forgets it");
            continue;
        }
        if (!pg::owns(tables[i].relation, me)) {
            if (o.parent != InvalidOid)
                pg::require_owner(o.parent);
            report(i, "skipped", "only its owner may maintain it");
            continue;
        }
        sets.push_back(std::make_unique<open_set>(configs[i], tables[i]));
        std::optional<pg::error> failure =
            pg::subtransaction([&] {
                pg::wait_for_locks(config.lock_timeout_ms); // the highest id is read from the partitions
                plan_set(*sets.back(), o, tasks, rows);
            });
        if (failure && lock_trouble(*failure))
            report(i, "skipped", "no lock on a partition to read how far its ids have come: another transaction holds it; the next round tries again");
        else if (failure)
            report(i, "failed", failure->message());
    }
}

std::string hold_of(const open_set &s, int retiring) {
    core::hold_question q;
    if (s.config.last_success)
        q.last_success_us = s.config.last_success->us;
    q.last_now = s.config.last_now;
    q.clock_us = pg::clock().us;
    q.now = s.now;
    q.of = static_cast<int>(s.table.partitions.size());
    q.retiring = retiring;
    return core::retirement_hold(q);
}

// In the background nothing is destroyed that looks like a mistake: those tasks are finished, and held.
void hold_suspicious(std::vector<task> &tasks) {
    std::map<const open_set *, int> retiring;
    for (const task &t : tasks)
        retiring[t.set] += t.kind == task::retire;
    for (task &t : tasks) {
        const std::string reason = t.kind == task::retire ? hold_of(*t.set, retiring[t.set]) : "";
        if (reason.empty())
            continue;
        t.finished = true;
        t.row.status = "skipped";
        t.row.detail = "held: " + reason + "; partition_maintain with the table's name carries it out";
    }
}

// DETACH goes CONCURRENTLY to a worker where PostgreSQL allows it.
void restrain(std::vector<task> &tasks) {
    hold_suspicious(tasks);
    for (task &t : tasks)
        if (t.kind == task::retire && !t.finished)
            t.finished = detach_in_worker(t);
}

} // namespace

std::vector<outcome> maintain(const maintain_options &o) {
    refuse_unknown_actions(o.actions);
    round_plan round;
    round.read(o);
    if (round.configs.empty() && o.parent != InvalidOid)
        pg::raise({.code = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                   .message = pg::qualified_name(o.parent) + " is not managed",
                   .hint = "SELECT * FROM dbopt.partition_manage('" + pg::qualified_name(o.parent) +
                           "', '1 month') puts it under management."});
    for (task &t : round.tasks)
        if (o.dry_run || (t.kind == task::retire && !o.retire))
            plan_only(t, o);
    if (!o.dry_run)
        limit_creations(round.tasks);
    if (o.background)
        restrain(round.tasks);
    run(round.tasks, o);
    if (!o.dry_run && o.retire && wanted(o, "drop"))
        finish_retirements(o, round.rows);
    std::vector<outcome> rows = std::move(round.rows);
    for (task &t : round.tasks)
        rows.push_back(std::move(t.row));
    if (!o.dry_run)
        for (const auto &s : round.sets) {
            note_outcomes(*s, rows);
            note_holds(s->table.relation, rows);
        }
    return rows;
}

survey survey_sets(const maintain_options &o) {
    refuse_unknown_actions(o.actions);
    survey out;
    const auto add = [](std::vector<Oid> &to, const task &t) {
        if (std::find(to.begin(), to.end(), t.set->table.relation) == to.end())
            to.push_back(t.set->table.relation);
    };
    // Locks that looking takes (the highest id of a set) must not stand in the workers' way.
    std::optional<pg::error> failure = pg::rolled_back([&] {
        round_plan round;
        round.read(o);
        if (o.background)
            hold_suspicious(round.tasks);
        out.rows = std::move(round.rows);
        for (task &t : round.tasks) {
            add(t.finished ? out.held : out.work, t);
            if (t.finished)
                out.rows.push_back(std::move(t.row));
        }
    });
    if (failure)
        throw std::move(*failure);
    return out;
}

std::vector<Oid> sets_with_work() {
    round_plan round;
    round.read({});
    std::vector<Oid> due;
    const auto add = [&](Oid parent) {
        if (std::find(due.begin(), due.end(), parent) == due.end())
            due.push_back(parent);
    };
    for (const task &t : round.tasks)
        add(t.set->table.relation);
    const int64_t yesterday = pg::clock().us - core::us_per_day;
    for (const auto &s : round.sets)
        if (!s->config.last_success || s->config.last_success->us < yesterday)
            add(s->table.relation); // so that "the last good round" is never much older than a day
    for (const Oid parent : sets_to_finish())
        add(parent);
    return due;
}

std::vector<Oid> sets_to_finish() {
    const pg::as_owner reader(extension_owner());
    std::vector<Oid> out;
    for (const pg::row r : pg::query("SELECT DISTINCT parent::oid FROM dbopt.partition_retiring"))
        out.push_back(r.get<Oid>(0));
    return out;
}

} // namespace dbopt::partition
