#include "core/cron.hpp"
#include <array>
#include <cctype>
#include <charconv>
#include <optional>
#include <span>
#include <stdexcept>
#include <vector>

namespace dbopt::core::jobs {

// ---- civil calendar (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms") ----

int64_t days_from_civil(int64_t y, int m, int d) {
    y -= m <= 2;
    const int64_t era = (y >= 0 ? y : y - 399) / 400;
    const int64_t yoe = y - era * 400;
    const int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    const int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

civil civil_from_days(int64_t z) {
    z += 719468;
    const int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    const int64_t doe = z - era * 146097;
    const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    const int64_t mp = (5 * doy + 2) / 153;
    const int day = static_cast<int>(doy - (153 * mp + 2) / 5 + 1);
    const int month = static_cast<int>(mp < 10 ? mp + 3 : mp - 9);
    return {yoe + era * 400 + (month <= 2), month, day};
}

int weekday_of(int64_t days) { return static_cast<int>(((days % 7) + 11) % 7); }

int days_in_month(int64_t year, int month) {
    static constexpr std::array<int, 12> lengths{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : lengths[month - 1];
}

bool cron::matches_day(int year, int month, int day) const {
    if (!months[month])
        return false;
    const bool by_day = days[day] || (last_day && day == days_in_month(year, month));
    const bool by_weekday = weekdays[weekday_of(days_from_civil(year, month, day))];
    if (any_day || any_weekday)
        return by_day && by_weekday;
    return by_day || by_weekday;
}

// ---- parsing ----

namespace {

[[noreturn]] void bad(std::string_view what, std::string_view text, std::string_view why) {
    throw std::invalid_argument("invalid " + std::string(what) + " \"" + std::string(text) +
                                "\" in a schedule: " + std::string(why));
}

std::string lower(std::string_view s) {
    std::string out(s);
    for (char &c : out)
        c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return out;
}

std::vector<std::string> split(std::string_view s, auto is_separator, bool keep_empty) {
    std::vector<std::string> out;
    std::string part;
    for (const char c : s) {
        if (!is_separator(c)) {
            part += c;
        } else {
            if (keep_empty || !part.empty())
                out.push_back(part);
            part.clear();
        }
    }
    if (keep_empty || !part.empty())
        out.push_back(part);
    return out;
}

std::vector<std::string> words(std::string_view s) {
    return split(s, [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }, false);
}

std::optional<int64_t> number(std::string_view s) {
    int64_t n = 0;
    const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), n);
    if (error != std::errc() || end != s.data() + s.size() || s.empty())
        return std::nullopt;
    return n;
}

struct field_spec {
    std::string_view name;
    int low, high;
    std::span<const std::string_view> names; // of low, low + 1 …
};

constexpr std::array<std::string_view, 12> month_names{"jan", "feb", "mar", "apr", "may", "jun",
                                                       "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> day_names{"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

int field_value(const field_spec &f, std::string_view text, std::string_view whole) {
    for (size_t i = 0; i < f.names.size(); ++i)
        if (f.names[i] == text)
            return f.low + static_cast<int>(i);
    const std::optional<int64_t> n = number(text);
    if (!n || *n < f.low || *n > f.high)
        bad(f.name, whole, "values are " + std::to_string(f.low) + " to " + std::to_string(f.high));
    return static_cast<int>(*n);
}

// One item of a list: '*', 'a', 'a-b', each with an optional '/step'.
void field_item(const field_spec &f, std::string_view item, std::string_view whole, auto &&set) {
    int step = 1;
    bool stepped = false;
    if (const size_t slash = item.find('/'); slash != item.npos) {
        const std::optional<int64_t> n = number(item.substr(slash + 1));
        if (!n || *n < 1 || *n > f.high)
            bad(f.name, whole, "a step is a number from 1 to " + std::to_string(f.high));
        step = static_cast<int>(*n);
        stepped = true;
        item = item.substr(0, slash);
    }
    int from = f.low, to = f.high;
    if (item != "*") {
        // The minus of a range; a name or number never starts with one.
        const size_t dash = item.find('-', 1);
        from = field_value(f, item.substr(0, dash), whole);
        to = dash == item.npos ? (stepped ? f.high : from)
                               : field_value(f, item.substr(dash + 1), whole);
        // Sunday ends a week, too: sat-sun.
        if (dash != item.npos && from > 0 && to == 0 && !f.names.empty() && f.low == 0)
            to = f.high;
        if (from > to)
            bad(f.name, whole, "a range goes from the smaller to the larger value");
    }
    for (int v = from; v <= to; v += step)
        set(v);
}

void field(const field_spec &f, std::string_view text, auto &&set) {
    for (const std::string &item : split(text, [](char c) { return c == ','; }, true)) {
        if (item.empty())
            bad(f.name, text, "an item of the list is empty");
        field_item(f, item, text, set);
    }
}

// A date that never comes (30 February) would be a job that never runs: refused.
void require_possible(const cron &c, std::string_view text) {
    if (!c.any_weekday || c.last_day)
        return;
    for (int month = 1; month <= 12; ++month)
        for (int day = 1; c.months[month] && day <= days_in_month(2024, month); ++day)
            if (c.days[day])
                return;
    bad("date", text, "there is no such day in these months");
}

cron parse_cron(std::string_view text) {
    const std::vector<std::string> parts = words(lower(text));
    if (parts.size() != 5)
        throw std::invalid_argument(
            "invalid schedule \"" + std::string(text) +
            "\": five fields (minute hour day-of-month month day-of-week), an interval such as "
            "'30 seconds', @hourly, @daily, @weekly, @monthly, @yearly or '@once 2026-12-01 02:00'");
    cron c;
    field({"minute", 0, 59, {}}, parts[0], [&](int v) { c.minutes.set(v); });
    field({"hour", 0, 23, {}}, parts[1], [&](int v) { c.hours.set(v); });
    if (parts[2] == "$")
        c.last_day = true;
    else
        field({"day of month", 1, 31, {}}, parts[2], [&](int v) { c.days.set(v); });
    field({"month", 1, 12, month_names}, parts[3], [&](int v) { c.months.set(v); });
    field({"day of week", 0, 7, day_names}, parts[4], [&](int v) { c.weekdays.set(v % 7); });
    c.any_day = parts[2][0] == '*';
    c.any_weekday = parts[4][0] == '*';
    require_possible(c, text);
    return c;
}

std::optional<int64_t> unit_seconds(std::string_view unit) {
    if (unit == "ms")
        return std::nullopt; // no plural of minutes
    if (unit.size() > 1 && unit.back() == 's')
        unit.remove_suffix(1);
    struct entry {
        std::string_view name;
        int64_t seconds;
    };
    static constexpr entry units[] = {{"s", 1},         {"sec", 1},     {"second", 1}, {"m", 60},
                                      {"min", 60},      {"minute", 60}, {"h", 3600},   {"hour", 3600},
                                      {"d", 86400},     {"day", 86400}, {"w", 604800}, {"week", 604800}};
    for (const entry &e : units)
        if (e.name == unit)
            return e.seconds;
    return std::nullopt;
}

// '30 seconds', '1h30m', '1 hour 30 minutes'; nothing when the text is no interval at all.
std::optional<every> parse_interval(std::string_view text) {
    const std::string s = lower(text);
    int64_t total = 0;
    size_t at = 0;
    bool any = false;
    const auto skip = [&] {
        while (at < s.size() && std::isspace(static_cast<unsigned char>(s[at])))
            ++at;
    };
    for (skip(); at < s.size(); skip()) {
        const size_t digits = at;
        while (at < s.size() && std::isdigit(static_cast<unsigned char>(s[at])))
            ++at;
        const std::optional<int64_t> n = number(std::string_view(s).substr(digits, at - digits));
        skip();
        const size_t letters = at;
        while (at < s.size() && std::isalpha(static_cast<unsigned char>(s[at])))
            ++at;
        const auto unit = unit_seconds(std::string_view(s).substr(letters, at - letters));
        if (!n || !unit)
            return std::nullopt;
        if (*n > 366 * 86400)
            bad("interval", text, "it is longer than a year");
        total += *n * *unit;
        any = true;
    }
    if (!any)
        return std::nullopt;
    if (total < 1 || total > 366 * 86400)
        bad("interval", text, "it must be between one second and one year");
    return every{total};
}

once parse_once(std::string_view text, std::string_view whole) {
    int64_t v[6] = {};
    int count = 0;
    size_t at = 0;
    while (at < text.size() && count < 6) {
        const size_t begin = at;
        while (at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])))
            ++at;
        const std::optional<int64_t> n = number(text.substr(begin, at - begin));
        if (!n)
            break;
        v[count++] = *n;
        static constexpr std::string_view separators[] = {"-", "-", " T", ":", ":", ""};
        if (at < text.size() && separators[count - 1].find(text[at]) != std::string_view::npos)
            ++at;
        else
            break;
    }
    const bool valid = at == text.size() && (count == 3 || count == 5 || count == 6) &&
                       v[0] >= 1970 && v[0] <= 9999 && v[1] >= 1 && v[1] <= 12 && v[2] >= 1 &&
                       v[2] <= days_in_month(v[0], static_cast<int>(v[1])) && v[3] < 24 &&
                       v[4] < 60 && v[5] < 60;
    if (!valid)
        bad("moment", whole, "write it as '@once 2026-12-01 02:00' or with seconds");
    const int64_t days = days_from_civil(v[0], static_cast<int>(v[1]), static_cast<int>(v[2]));
    return {days * 86400 + v[3] * 3600 + v[4] * 60 + v[5]};
}

std::string_view trim(std::string_view s) {
    while (!s.empty() && std::isspace(static_cast<unsigned char>(s.front())))
        s.remove_prefix(1);
    while (!s.empty() && std::isspace(static_cast<unsigned char>(s.back())))
        s.remove_suffix(1);
    return s;
}

} // namespace

schedule parse_schedule(std::string_view text) {
    const std::string_view s = trim(text);
    const std::string low = lower(s);
    struct alias {
        std::string_view name, expression;
    };
    static constexpr alias aliases[] = {
        {"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
        {"@weekly", "0 0 * * 0"},  {"@monthly", "0 0 1 * *"},  {"@yearly", "0 0 1 1 *"},
        {"@annually", "0 0 1 1 *"}};
    for (const alias &a : aliases)
        if (low == a.name)
            return parse_cron(a.expression);
    if (low.starts_with("@once"))
        return parse_once(trim(s.substr(5)), s);
    if (const std::optional<every> e = parse_interval(s))
        return *e;
    return parse_cron(s);
}

} // namespace dbopt::core::jobs
