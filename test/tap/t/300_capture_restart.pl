# The observed workload survives a restart with its texts and parameter samples; index_apply builds,
# verifies and takes back; advice comes from what was observed before the restart.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use Dbopt::Test;

my $node = dbopt_cluster('capture_restart', '');
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION dbopt;
	CREATE TABLE t AS SELECT i AS id, i % 5000 AS k, i % 2 = 0 AS flag, repeat('x', 50) AS pad FROM generate_series(1, 50000) i;
	ANALYZE t;
});
$node->safe_psql('postgres', 'SELECT count(*) FROM t WHERE k = 17');
$node->safe_psql('postgres', 'PREPARE p(int) AS SELECT pad FROM t WHERE k = $1; EXECUTE p(3); EXECUTE p(4)');
my $seen = q{SELECT string_agg(query || ' ' || calls || ' ' || samples, '; ' ORDER BY query) FROM dbopt.workload WHERE query LIKE '%FROM t WHERE%'};
my $before = $node->safe_psql('postgres', $seen);
like($before, qr/WHERE k = \? 1 0/, 'observed');
like($before, qr/WHERE k = \$1 2 1/, 'with a sample of parameters');
$node->restart;
is($node->safe_psql('postgres', $seen), $before, 'the same after a restart');
like($node->safe_psql('postgres', 'SELECT ddl FROM dbopt.index_suggest()'), qr/ON public\.t \(k\)/, 'advice on the observed workload');

sub build
{
	my ($ddl) = @_;
	my $run = $node->safe_psql('postgres', "SELECT dbopt.index_apply(\$\$$ddl\$\$)");
	for (1 .. 600)
	{
		my $status = $node->safe_psql('postgres', "SELECT status FROM dbopt._index_build WHERE command LIKE '%' ORDER BY build_id DESC LIMIT 1");
		return $status if $status ne 'building';
		usleep(200_000);
	}
	return 'never finished';
}
is(build('CREATE INDEX good ON t (k)'), 'kept', 'an index that helps is kept');
is(build('CREATE INDEX bad ON t (flag)'), 'dropped', 'one that does not is taken back');
my $gone = 0;
for (1 .. 300) { $gone = $node->safe_psql('postgres', "SELECT to_regclass('bad') IS NULL") eq 't'; last if $gone; usleep(200_000); }
ok($gone, 'and is gone');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_index WHERE NOT indisvalid"), '0', 'nothing invalid is left');

$node->safe_psql('postgres', q{SELECT dbopt.index_expect('CREATE INDEX later_i ON public.later (x)')});
is($node->safe_psql('postgres', 'SELECT run_id IS NULL FROM dbopt.index_expected'), 't', 'missing while its table is');
$node->safe_psql('postgres', 'CREATE TABLE later (x int)');
my $there = 0;
for (1 .. 600) { $there = $node->safe_psql('postgres', "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('later_i') AND indisvalid)") eq 't'; last if $there; usleep(200_000); }
ok($there, 'built once its table exists');

$node->safe_psql('postgres', 'SELECT dbopt.workload_reset()');
is($node->safe_psql('postgres', q{SELECT count(*) FROM dbopt.workload WHERE query LIKE '%FROM t WHERE%'}), '0', 'forgotten');
$node->stop;
done_testing();
