// A JSON string literal from any bytes that are valid in the database's encoding.
#pragma once
#include <cstdio>
#include <string>
#include <string_view>

namespace dbopt::core {

inline std::string json_string(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\')
            out += '\\';
        if (static_cast<unsigned char>(c) >= 0x20) {
            out += c;
            continue;
        }
        char code[8];
        snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned>(c));
        out += code;
    }
    return out + '"';
}

} // namespace dbopt::core
