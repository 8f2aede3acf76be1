// Until the end of the scope search_path = pg_catalog, pg_temp. REFRESH sees to that itself from 17 on.
#pragma once
#include "pg/error.hpp"

namespace dbopt::pg {

class fixed_path {
  public:
    fixed_path();
    ~fixed_path();
    fixed_path(const fixed_path &) = delete;
    fixed_path &operator=(const fixed_path &) = delete;

  private:
    int nest_level_ = 0;
    int exceptions_;
};

} // namespace dbopt::pg
