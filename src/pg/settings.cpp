#include "pg/settings.hpp"

namespace dbopt::pg {

static GucContext context_of(change when) {
    switch (when) {
    case change::restart: return PGC_POSTMASTER;
    case change::reload: return PGC_SIGHUP;
    case change::superuser: return PGC_SUSET;
    case change::user: return PGC_USERSET;
    }
    return PGC_SIGHUP;
}

static int flags_of(unit in) {
    switch (in) {
    case unit::none: return 0;
    case unit::ms: return GUC_UNIT_MS;
    case unit::s: return GUC_UNIT_S;
    case unit::min: return GUC_UNIT_MIN;
    case unit::kb: return GUC_UNIT_KB;
    }
    return 0;
}

bool preloading() { return process_shared_preload_libraries_in_progress; }

// A setting that needs a restart cannot be defined after the start: the first load would be FATAL.
static bool possible(change when) { return when != change::restart || preloading(); }

void define_int(const number_setting &s) {
    *s.variable = s.value;
    if (possible(s.when))
        call([&] {
            DefineCustomIntVariable(s.name, s.description, nullptr, s.variable, s.value, s.low, s.high,
                                    context_of(s.when), flags_of(s.in), nullptr, nullptr, nullptr);
        });
}

void define_bool(const char *name, const char *description, bool *variable, bool value, change when) {
    *variable = value;
    if (possible(when))
        call([&] {
            DefineCustomBoolVariable(name, description, nullptr, variable, value, context_of(when), 0,
                                     nullptr, nullptr, nullptr);
        });
}

void define_real(const char *name, const char *description, double *variable, double value,
                 double low, double high, change when) {
    *variable = value;
    if (possible(when))
        call([&] {
            DefineCustomRealVariable(name, description, nullptr, variable, value, low, high,
                                     context_of(when), 0, nullptr, nullptr, nullptr);
        });
}

void define_string(const char *name, const char *description, char **variable, const char *value,
                   change when) {
    if (possible(when))
        call([&] {
            DefineCustomStringVariable(name, description, nullptr, variable, value, context_of(when), 0,
                                       nullptr, nullptr, nullptr);
        });
}

void define_choice(const char *name, const char *description, int *variable,
                   std::initializer_list<choice> choices, int value, change when,
                   void (*on_change)(int value, void *)) {
    *variable = value;
    if (!possible(when))
        return;
    call([&] {
        // The server keeps the pointer for the life of the process.
        auto *entries = static_cast<config_enum_entry *>(
            MemoryContextAllocZero(TopMemoryContext, sizeof(config_enum_entry) * (choices.size() + 1)));
        size_t i = 0;
        for (const choice &c : choices)
            entries[i++] = {c.name, c.value, false};
        DefineCustomEnumVariable(name, description, nullptr, variable, value, entries, context_of(when),
                                 0, nullptr, on_change, nullptr);
    });
}

void reserve_settings() {
    call([] { MarkGUCPrefixReserved("dbopt"); });
}

} // namespace dbopt::pg
