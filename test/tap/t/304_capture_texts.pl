# The file of texts: statements that found no room get their text later, a reset makes room at once, and
# both status() and index_suggest() say how many have none. The search_path survives a restart.
use strict;
use warnings;
use Test::More;
use Dbopt::Test;

my $node = dbopt_cluster('capture_texts', "dbopt.enabled = off\ndbopt.capture_text_size = '64kB'\n");
$node->start;
my $sql = sub { $node->safe_psql('postgres', $_[0]) };
$sql->(q{CREATE EXTENSION dbopt; CREATE SCHEMA app;
	CREATE TABLE app.wl AS SELECT g AS id, g % 1000 AS k FROM generate_series(1, 30000) g; ANALYZE app.wl});
my $fill = join ";\n", map { 'SELECT ' . join(', ', ('id') x $_) . ' /* ' . ('x' x 1500) . " */ FROM app.wl LIMIT 0" } 1 .. 60;

$sql->('SELECT dbopt.workload_reset()');
$sql->($fill);
cmp_ok($sql->('SELECT without_text FROM dbopt._workload_state()'), '>', 5, 'the file is full');
like($sql->(q{SELECT detail FROM dbopt.status() WHERE component = 'capture'}), qr/\d+ have no text to advise on: raise dbopt\.capture_text_size/, 'status() says so');
my ($out, $err);
$node->psql('postgres', 'SELECT * FROM dbopt.index_suggest()', stderr => \$err);
like($err, qr/\d+ observed statements have no text/, 'so does index_suggest()');

# ---- a reset makes room at once ----
$sql->('SELECT dbopt.workload_reset()');
$sql->('SET search_path = app; SELECT count(*) FROM wl WHERE id = 5');
like($sql->(q{SELECT query FROM dbopt.workload WHERE query LIKE '%FROM wl%'}), qr/SELECT count\(\*\) FROM wl WHERE id = \?/, 'a statement after the reset has its text');
like($sql->('SELECT ddl FROM dbopt.index_suggest()'), qr/ON app\.wl \(id/, 'and is advised on');

# ---- room that comes later ----
$sql->($fill);
my $long = '/* ' . ('y' x 3000) . ' */';
$sql->("SELECT sum(id) $long FROM app.wl WHERE k = 7 AND id > 0");
is($sql->(q{SELECT count(*) FROM dbopt.workload WHERE query LIKE 'SELECT sum(id)%'}), '0', 'no room again');
$sql->("ALTER SYSTEM SET dbopt.capture_text_size = '1MB'; SELECT pg_reload_conf()");
$node->poll_query_until('postgres', "SELECT current_setting('dbopt.capture_text_size') = '1MB'") or die;
$sql->("SELECT sum(id) $long FROM app.wl WHERE k = 8 AND id > 0");
is($sql->(q{SELECT calls FROM dbopt.workload WHERE query LIKE 'SELECT sum(id)%'}), '2', 'a later execution brings the text');

# ---- statements that cannot be planned are told, with the reason ----
$sql->('CREATE TABLE app.gone (id int); SELECT * FROM app.gone WHERE id = 1');
$sql->('DROP TABLE app.gone');
$node->psql('postgres', 'SELECT * FROM dbopt.index_suggest()', stderr => \$err);
like($err, qr/\d+ of \d+ observed statements cannot be planned/, 'how many');
like($err, qr/relation "app\.gone" does not exist/, 'and why');

# ---- a lower dbopt.sample_every counts at once ----
is($sql->(q{SET dbopt.sample_every = 1000000; PREPARE s(int) AS SELECT count(*) FROM app.wl WHERE k = $1; EXECUTE s(1); EXECUTE s(2);
	SET dbopt.sample_every = 1; EXECUTE s(3); EXECUTE s(4); SELECT samples FROM dbopt.workload WHERE query LIKE '%FROM app.wl WHERE k = $1'}) =~ s/.*\n//sr,
	'3', 'the first call and those since');

# ---- text and path survive a restart ----
$node->restart;
like($sql->('SELECT ddl FROM dbopt.index_suggest()'), qr/ON app\.wl \(id/, 'an unqualified statement still has its path');
like($sql->(q{SELECT query FROM dbopt.workload WHERE query LIKE '%FROM wl%'}), qr/id = \?$/, 'which is no part of its text');
ok(no_crash($node), 'no crash');
$node->stop;
done_testing();
