#include "core/view_form.hpp"
#include <gtest/gtest.h>

using namespace dbopt::core;
using kind = join_node::kind;

namespace {

std::unique_ptr<join_node> leaf(unsigned base, const std::string &table, std::vector<std::string> columns) {
    auto n = std::make_unique<join_node>();
    n->base = base;
    n->table = table;
    int attribute = 0;
    for (const std::string &c : columns) {
        n->columns.push_back({c, {table + "_" + c, "integer"}});
        n->attributes.push_back(++attribute);
    }
    return n;
}

std::unique_ptr<join_node> join(kind what, const std::string &a, const std::string &b) {
    auto n = std::make_unique<join_node>();
    n->what = what;
    n->first = leaf(1, "a", {"k", "x"});
    n->second = leaf(2, "b", {"k"});
    n->conditions = {a + " = " + b};
    n->equal = {{a, b}};
    return n;
}

view_form form(std::unique_ptr<join_node> root) {
    view_form f;
    f.root = std::move(root);
    f.keys.push_back({"a_x", {"k1", "integer"}});
    return f;
}

size_t count(const std::string &in, const std::string &what) {
    size_t n = 0;
    for (size_t at = in.find(what); at != in.npos; at = in.find(what, at + 1))
        ++n;
    return n;
}

} // namespace

TEST(DeltaSql, LeafReadsItsChangesAndNothingElse) {
    const std::string sql = core_delta_sql(form(leaf(1, "a", {"k", "x"})), {1});
    EXPECT_NE(sql.find("FROM d1"), sql.npos);
    EXPECT_EQ(sql.find("FROM a"), sql.npos);
    EXPECT_NE(sql.find("c2 AS a_x"), sql.npos);
}

TEST(DeltaSql, InnerJoinHasATermPerChangedSideAndTakesTheDoubleOneBack) {
    EXPECT_EQ(count(core_delta_sql(form(join(kind::inner, "a_k", "b_k")), {1}), "UNION ALL"), 0u);
    EXPECT_EQ(count(core_delta_sql(form(join(kind::inner, "a_k", "b_k")), {2}), "UNION ALL"), 0u);
    const std::string both = core_delta_sql(form(join(kind::inner, "a_k", "b_k")), {1, 2});
    EXPECT_EQ(count(both, "UNION ALL"), 2u);
    EXPECT_EQ(count(both, "-(a.w * b.w)"), 1u);
}

TEST(DeltaSql, LeftJoinLooksForFlipsOnlyIfTheNullableSideChanged) {
    EXPECT_EQ(count(core_delta_sql(form(join(kind::left, "a_k", "b_k")), {1}), "HAVING sum(w) <> 0"), 0u);
    const std::string b = core_delta_sql(form(join(kind::left, "a_k", "b_k")), {2});
    EXPECT_EQ(count(b, "HAVING sum(w) <> 0"), 1u);
    EXPECT_EQ(count(b, "NULL::integer AS b_k"), 1u);
    // d(A left join B) with both changed: five terms.
    EXPECT_EQ(count(core_delta_sql(form(join(kind::left, "a_k", "b_k")), {1, 2}), "UNION ALL"), 4u);
}

TEST(DeltaSql, ProjectionComputesBelowAndFiltersItsInput) {
    auto p = std::make_unique<join_node>();
    p->what = kind::project;
    p->first = leaf(1, "a", {"k", "x"});
    p->filters = {"a_k > 3"};
    p->shown = {{"a_x * 2", {"a_x", "integer"}}};
    const std::string now = current_sql(*p), delta = core_delta_sql(form(std::move(p)), {1});
    EXPECT_NE(now.find("a_x * 2 AS a_x"), now.npos);
    EXPECT_NE(now.find("a_k > 3"), now.npos);
    EXPECT_NE(delta.find("a_x * 2 AS a_x, w"), delta.npos);
}

TEST(DeltaSql, UnionAllTakesChangesOfTheSidesThatHaveSome) {
    auto u = std::make_unique<join_node>();
    u->what = kind::append;
    u->first = leaf(1, "a", {"x"});
    u->second = leaf(2, "a", {"x"});
    u->shown = {{"a_x", {"a_x", "integer"}}};
    EXPECT_EQ(count(current_sql(*u), "UNION ALL"), 1u);
    const view_form f = form(std::move(u));
    EXPECT_EQ(count(core_delta_sql(f, {2}), "UNION ALL"), 0u);
    EXPECT_EQ(count(core_delta_sql(f, {1, 2}), "UNION ALL"), 1u);
}

TEST(DeltaSql, KeyedNodesAreComputedTwiceForTheKeysThatChanged) {
    auto k = std::make_unique<join_node>();
    k->what = kind::keyed;
    k->first = leaf(1, "a", {"k", "x"});
    k->first_keys = {"a_k"};
    k->text = "SELECT a_k, max(a_x) AS a_x FROM dbopt_in1 GROUP BY a_k";
    k->shown = {{"", {"a_k", "integer"}}, {"", {"a_x", "integer"}}};
    EXPECT_EQ(count(current_sql(*k), "max(a_x)"), 1u);
    const view_form f = form(std::move(k));
    const std::string sql = core_delta_sql(f, {1});
    EXPECT_EQ(count(sql, "max(a_x)"), 2u);
    EXPECT_EQ(count(sql, "SELECT DISTINCT * FROM (SELECT (a_k) AS k1"), 1u);
    EXPECT_EQ(count(sql, "generate_series(1, z.w"), 1u) << "the old rows come from the new ones and the changes";
    EXPECT_TRUE(core_delta_sql(f, {1}) == sql) << "the same form gives the same statement";
}

TEST(DeltaSql, EqualValuesThatAreNotTheSameAreKeptApart) {
    auto k = std::make_unique<join_node>();
    k->what = kind::keyed;
    k->first = leaf(1, "a", {"k", "x"});
    k->first->columns[1].second.type = "numeric";
    k->first_keys = {"a_k"};
    k->text = "SELECT DISTINCT a_k, a_x FROM dbopt_in1";
    k->shown = {{"", {"a_k", "integer"}}, {"", {"a_x", "numeric"}}};
    EXPECT_EQ(count(core_delta_sql(form(std::move(k)), {1}), "a_x::text"), 1u);
}

TEST(MatchSql, NullsAreComparedOnlyWhereThereAreSome) {
    EXPECT_EQ(match_sql({{"a.k", "b.k"}}, {false}), "a.k = b.k");
    EXPECT_EQ(match_sql({{"a.k", "b.k"}, {"a.l", "b.l"}}, {true, false}), "a.k IS NOT DISTINCT FROM b.k AND a.l = b.l");
    EXPECT_NE(match_sql({{"a.k", "b.k"}}, {true}).find("hash_record_extended"), std::string::npos)
        << "nothing else to hash by";
    EXPECT_EQ(match_sql({}, {}), "true");
}
