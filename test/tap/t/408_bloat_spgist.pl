# SP-GiST indexes from which most entries were deleted and vacuumed away: what REINDEX then really gives back lies
# within the interval, for every built-in kind of tree.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

my $node = dbopt_cluster('bloat_spgist', 'fsync = off');
$node->start;
sub sql { return $node->safe_psql('postgres', shift); }
sql(q{CREATE EXTENSION dbopt;
	CREATE TABLE base AS SELECT g AS id, md5(g::text) AS hash, 'user' || g * 7919 % 1000003 || '@mail' || g % 50 || '.example.org' AS mail,
		point(hashint4(g) % 10000, hashint4(-g) % 10000) AS place, int4range(g % 5000, g % 5000 + abs(hashint4(g)) % 100 + 1) AS span,
		('10.' || g % 200 || '.' || g / 200 % 250 || '.' || g % 250)::inet AS ip,
		box(point(hashint4(g) % 100, hashint4(-g) % 100), point(hashint4(g + 7) % 100, hashint4(7 - g) % 100)) AS area
	FROM generate_series(1, 60000) g});
my %columns = (hash => 'hash', mail => 'mail', quad => 'place', kd => 'place kd_point_ops', span => 'span', ip => 'ip', area => 'area');
for my $name (sort keys %columns)
{
	my ($column) = split / /, $columns{$name};
	for my $keep (2, 5, 20)
	{
		sql(qq{CREATE TABLE t AS SELECT id, $column AS v FROM base});
		sql(qq{CREATE INDEX i ON t USING spgist (v @{[ $columns{$name} =~ / (.*)/ ? $1 : '' ]})});
		sql(qq{DELETE FROM t WHERE hashint4(id) % $keep <> 0});
		sql('VACUUM t');
		my ($pages, $low, $high, $at) = split /\|/, sql(q{SELECT pages, reclaimable_pct_low, reclaimable_pct_high, reclaimable_pct FROM dbopt.index_bloat('i', 'exact')});
		sql('REINDEX INDEX i');
		my $truth = 100 * (1 - sql(q{SELECT pg_relation_size('i') / 8192}) / $pages);
		ok($low - 0.5 <= $truth && $truth <= $high + 0.5, sprintf('%s, one in %d kept: %.1f lies within %.1f … %.1f', $name, $keep, $truth, $low, $high));
		cmp_ok($high - $low, '<', 70, 'which says something');
		sql('DROP TABLE t');
	}
}
ok(no_crash($node), 'no crash');
$node->stop;
done_testing();
