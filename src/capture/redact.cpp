#include "capture/capture.hpp"
#include <algorithm>
#include <cctype>

namespace dbopt::capture {

namespace {

bool word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || (c & 0x80); }

// Walks SQL text far enough to tell literals and comments from the rest. It errs towards hiding: an
// unfinished string hides everything after it.
enum class backslash { plain, escapes, unknown };

class redactor {
  public:
    // first: the number of the first parameter to stand for a literal; 0: a question mark.
    redactor(const std::string &sql, size_t limit, backslash meaning, int first = 0)
        : text_(sql), limit_(limit), meaning_(meaning), next_(first) {}

    std::string run() {
        while (at_ < text_.size() && (limit_ == 0 || out_.size() < limit_))
            step();
        while (!out_.empty() && out_.back() == ' ')
            out_.pop_back();
        return std::move(out_);
    }

  private:
    char now(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

    void step() {
        const char c = now();
        if (std::isspace(static_cast<unsigned char>(c))) {
            if (!out_.empty() && out_.back() != ' ')
                out_ += ' ';
            ++at_;
        } else if (c == '-' && now(1) == '-') {
            while (at_ < text_.size() && now() != '\n')
                ++at_;
        } else if (c == '/' && now(1) == '*') {
            comment();
        } else if (c == '\'') {
            quoted(prefix_is('e') || prefix_is('E') ? backslash::escapes : meaning_);
        } else if (c == '"') {
            identifier();
        } else if (c == '$' && (now(1) == '$' || (word(now(1)) && !std::isdigit(static_cast<unsigned char>(now(1)))))) {
            dollar();
        } else if (std::isdigit(static_cast<unsigned char>(c)) && (out_.empty() || !word(out_.back()))) {
            number();
        } else {
            out_ += c;
            ++at_;
        }
    }

    bool prefix_is(char letter) const {
        return !out_.empty() && out_.back() == letter && (out_.size() < 2 || !word(out_[out_.size() - 2]));
    }

    void comment() {
        int depth = 0;
        do {
            if (now() == '/' && now(1) == '*') {
                ++depth;
                at_ += 2;
            } else if (now() == '*' && now(1) == '/') {
                --depth;
                at_ += 2;
            } else {
                ++at_;
            }
        } while (depth > 0 && at_ < text_.size());
    }

    void quoted(backslash meaning) {
        literal(meaning);
        // SQL goes on with a literal that follows on another line.
        for (size_t next; (next = continued()) != 0; literal(meaning))
            at_ = next;
        if (prefix_is('e') || prefix_is('E') || prefix_is('b') || prefix_is('B') || prefix_is('x') ||
            prefix_is('X') || prefix_is('n') || prefix_is('N'))
            out_.pop_back();
        if (out_.ends_with("U&") || out_.ends_with("u&"))
            out_.resize(out_.size() - 2);
        const std::string type = next_ > 0 ? take_type() : "";
        out_ += placeholder();
        if (!type.empty())
            out_ += "::" + type;
    }

    void literal(backslash meaning) {
        for (++at_; at_ < text_.size(); ++at_) {
            if (now() == '\\' && meaning == backslash::escapes)
                ++at_;
            else if (now() == '\\' && now(1) == '\'' && meaning == backslash::unknown)
                at_ = text_.size();
            else if (now() == '\'' && now(1) == '\'')
                ++at_;
            else if (now() == '\'') {
                ++at_;
                break;
            }
        }
    }

    size_t continued() const {
        bool line = false;
        for (size_t i = at_; i < text_.size(); ++i) {
            if (text_[i] == '\'')
                return line ? i : 0;
            if (!std::isspace(static_cast<unsigned char>(text_[i])))
                return 0;
            line |= text_[i] == '\n' || text_[i] == '\r';
        }
        return 0;
    }

    // date '2026-01-31' is one literal; a parameter there needs a cast instead of the type in front.
    std::string take_type() {
        static constexpr std::string_view types[] = {
            "timestamp with time zone", "timestamp without time zone", "time with time zone", "time without time zone",
            "double precision", "timestamptz", "timestamp", "timetz", "interval", "date", "time", "numeric", "decimal",
            "int2", "int4", "int8", "integer", "smallint", "bigint", "float4", "float8", "real", "boolean", "bool",
            "jsonb", "json", "uuid", "inet", "cidr", "bytea", "text", "varchar", "point", "box", "regclass"};
        size_t end = out_.size();
        while (end > 0 && out_[end - 1] == ' ')
            --end;
        for (const std::string_view type : types) {
            if (end < type.size() || (end > type.size() && word(out_[end - type.size() - 1])))
                continue;
            const size_t from = end - type.size();
            if (!std::equal(type.begin(), type.end(), out_.begin() + static_cast<std::ptrdiff_t>(from),
                            [](char a, char b) { return a == std::tolower(static_cast<unsigned char>(b)); }))
                continue;
            out_.resize(from);
            return std::string(type);
        }
        return {};
    }

    void identifier() {
        do
            out_ += text_[at_++];
        while (at_ < text_.size() && now() != '"');
        if (at_ < text_.size())
            out_ += text_[at_++];
    }

    void dollar() {
        size_t end = at_ + 1;
        while (end < text_.size() && text_[end] != '$' && word(text_[end]))
            ++end;
        if (end >= text_.size() || text_[end] != '$' || (!out_.empty() && word(out_.back()))) {
            out_ += text_[at_++];
            return;
        }
        const std::string tag = text_.substr(at_, end + 1 - at_);
        const size_t close = text_.find(tag, end + 1);
        at_ = close == std::string::npos ? text_.size() : close + tag.size();
        out_ += placeholder();
    }

    void number() {
        while (std::isalnum(static_cast<unsigned char>(now())) || now() == '.' || now() == '_' ||
               ((now() == '+' || now() == '-') && (text_[at_ - 1] == 'e' || text_[at_ - 1] == 'E')))
            ++at_;
        out_ += placeholder();
    }

    std::string placeholder() { return next_ > 0 ? "$" + std::to_string(next_++) : "?"; }

    const std::string &text_;
    const size_t limit_;
    const backslash meaning_;
    int next_;
    size_t at_ = 0;
    std::string out_;
};

} // namespace

std::string redacted(const std::string &text, size_t limit) { return redactor(text, limit, backslash::unknown).run(); }

std::string parameterised(const std::string &text, bool backslash_escapes) {
    int highest = 0;
    for (size_t at = 0; (at = text.find('$', at)) != std::string::npos; ++at) {
        int n = 0;
        for (size_t d = at + 1; d < text.size() && std::isdigit(static_cast<unsigned char>(text[d])) && n < 10000; ++d)
            n = 10 * n + (text[d] - '0');
        highest = std::max(highest, n);
    }
    return redactor(text, 0, backslash_escapes ? backslash::escapes : backslash::plain, highest + 1).run();
}

} // namespace dbopt::capture
