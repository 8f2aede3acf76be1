// A std::pmr resource over a MemoryContext: Boost's and the library's pmr containers then live in
// server memory and die with the context at the latest. A container must die before its context.
//
//   pg::context_resource arena("dbopt plan");            // own context, deleted with the object
//   std::pmr::vector<int> v(arena.get());
#pragma once
#include "pg/error.hpp"
#include <boost/container/pmr/memory_resource.hpp>
#include <memory_resource>

namespace dbopt::pg {

// Allocates as palloc does, aligned by itself (palloc aligns to 8 only), throws std::bad_alloc.
void *context_allocate(MemoryContext context, size_t bytes, size_t alignment);
void context_free(void *p) noexcept;

class context_resource final : public std::pmr::memory_resource {
  public:
    explicit context_resource(const char *name, MemoryContext parent = CurrentMemoryContext);
    ~context_resource() override;
    context_resource(const context_resource &) = delete;
    context_resource &operator=(const context_resource &) = delete;
    MemoryContext context() const { return context_; }
    std::pmr::memory_resource *get() { return this; }
    void reset() noexcept { MemoryContextReset(context_); }

  private:
    void *do_allocate(size_t bytes, size_t alignment) override {
        return context_allocate(context_, bytes, alignment);
    }
    void do_deallocate(void *p, size_t, size_t) override { context_free(p); }
    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override {
        return this == &other;
    }
    MemoryContext context_;
};

// The same for Boost.Container's pmr aliases (boost::container::pmr::flat_map …).
class boost_context_resource final : public boost::container::pmr::memory_resource {
  public:
    explicit boost_context_resource(MemoryContext context) : context_(context) {}

  private:
    void *do_allocate(size_t bytes, size_t alignment) override {
        return context_allocate(context_, bytes, alignment);
    }
    void do_deallocate(void *p, size_t, size_t) override { context_free(p); }
    bool do_is_equal(const boost::container::pmr::memory_resource &other) const BOOST_NOEXCEPT override {
        return this == &other;
    }
    MemoryContext context_;
};

// Everything that palloc returns inside this scope goes to a context that the scope deletes.
class scratch {
  public:
    explicit scratch(const char *name = "dbopt scratch");
    ~scratch();
    scratch(const scratch &) = delete;
    scratch &operator=(const scratch &) = delete;
    void reset() noexcept { MemoryContextReset(context_); }
    MemoryContext context() const { return context_; }

  private:
    MemoryContext context_;
    MemoryContext previous_;
};

} // namespace dbopt::pg
