// Runs that must not go on without the call that has queued them: when it ends by an error or a cancel, or
// its session is terminated (FATAL unwinds nothing), they are asked to stop.
#pragma once
#include "pg/queue.hpp"
#include <vector>

namespace dbopt::pg {

class run_leash {
  public:
    run_leash();
    ~run_leash();
    run_leash(const run_leash &) = delete;
    run_leash &operator=(const run_leash &) = delete;
    void hold(int64_t run_id) { runs_.push_back(run_id); }
    void release(int64_t run_id) { std::erase(runs_, run_id); } // it is over, or may go on
    void stop() const noexcept;
    const run_leash *outer() const { return outer_; }

  private:
    std::vector<int64_t> runs_;
    run_leash *outer_; // calls may be nested
    int exceptions_;
};

} // namespace dbopt::pg
