// The crew: what the launcher, the database workers and the job workers tell each other through
// shared memory. PODs only; one lock; every change is made under it and is short.
//
// A process that dies leaves its entry to its exit callback (before_shmem_exit). A process that is
// killed with -9 takes the cluster's shared memory with it: all entries are then zeroed and `boot`
// is a new one, by which run rows of before are known to be interrupted.
#pragma once
#include "pg/shmem.hpp"
#include "pg/value.hpp"

namespace dbopt::pg::crew {

constexpr int most_databases = 128;
constexpr int most_slots = 72;

// A database: wanted = should have a worker; absent = it has no extension (asked again when CREATE
// EXTENSION commits).
enum class presence : int { none, wanted, absent };

struct database_entry {
    Oid database;
    presence state;
    pid_t pid;               // the database worker, 0 when there is none
    pid_t rooms;             // the process that serves the rooms' background rounds
    bool ready;              // the worker is past its start and serves the extension
    bool starting;           // asked for, not yet attached
    TimestampTz asked;       // when it was asked for
    TimestampTz since;       // when it attached
    TimestampTz not_before;  // next attempt to start it
    int failures;            // starts or lives that ended badly in a row
    uint64_t news;           // counts commits that changed jobs or queued runs
    pid_t parked_by;         // session whose command needs the database empty
    bool park_jobs;          // its job workers must leave, too (DROP DATABASE)
    TimestampTz exhausted;   // last time no worker could be started (0: never)
    int64_t exhausted_count;
};

// free → assigned → running → finished → free; a reserved worker goes finished → ready → assigned.
enum class slot_state : int { free, ready, assigned, running, finished };

struct run_slot {
    slot_state state;
    Oid database;
    Oid role;
    pid_t pid;              // 0 until the worker has attached
    bool reserved;          // serves one short job after the other
    bool leave;             // a reserved worker is asked to end
    bool cancel;            // someone asked to cancel this run
    int64_t run_id;
    int64_t job_id;         // 0: a queued run, not a job's
    bool queued;            // asked for by pg::enqueue, perhaps by a job that waits for it
    int64_t max_runtime_ms;
    TimestampTz assigned;
    TimestampTz started;
    TimestampTz finished;
    bool failed;
    bool reported;          // false after the end: the process died without a word
    uint64_t rows;
    char sqlstate[6];
    char tag[64];
    char message[640];
    char detail[320];
    char hint[320];
};

struct state {
    TimestampTz boot;
    pid_t launcher;
    uint64_t launcher_news;
    database_entry databases[most_databases];
    run_slot slots[most_slots];
};

extern shared_block block;
void request(); // from _PG_init, while preloading; also installs the commit callback's needs
inline state *shared() { return block.get<state>(); } // nullptr without preload
inline LWLock *lock() { return block.lock(0); }

// All of these need the lock.
database_entry *find(Oid database);
database_entry *find_or_add(Oid database); // nullptr when the table is full

// Wakes the process, if it lives. Takes no lock of ours.
void wake(pid_t pid);
bool alive(pid_t pid);
// Asks a process to end (SIGTERM) or to cancel its statement (SIGINT).
void signal(pid_t pid, bool terminate);

// Tells the launcher and the worker of `database` that something changed, now or when the current
// transaction commits. No-ops without preload.
void announce(Oid database);
void announce_at_commit();
// The launcher looks at pg_database again, when the current transaction commits.
void announce_databases_at_commit();

} // namespace dbopt::pg::crew
