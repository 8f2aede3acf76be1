// dbopt.* settings. Each room defines its own in define_settings(), called from _PG_init.
#pragma once
#include "pg/error.hpp"

namespace dbopt::pg {

enum class change { restart, reload, superuser, user };
enum class unit { none, ms, s, min, kb };

// True while the library is loaded from shared_preload_libraries: only then may a setting need a
// restart (defining one later is FATAL), may shared memory be asked for and hooks be installed.
bool preloading();

struct number_setting {
    const char *name;        // "dbopt.max_workers"
    const char *description; // one sentence, with the meaning of 0 or -1
    int *variable;
    int value, low, high;
    change when = change::reload;
    unit in = unit::none;
};
void define_int(const number_setting &s);
void define_bool(const char *name, const char *description, bool *variable, bool value,
                 change when = change::reload);
void define_real(const char *name, const char *description, double *variable, double value,
                 double low, double high, change when = change::reload);
// *variable must start as nullptr or a literal; the server owns its memory afterwards.
void define_string(const char *name, const char *description, char **variable, const char *value,
                   change when = change::reload);
// A setting that is one of a few words; the names must be literals.
struct choice {
    const char *name;
    int value;
};
void define_choice(const char *name, const char *description, int *variable,
                   std::initializer_list<choice> choices, int value, change when = change::reload,
                   void (*on_change)(int value, void *) = nullptr);
// Call after the last definition: misspelt dbopt.* settings are then reported.
void reserve_settings();

} // namespace dbopt::pg
