# CONNECTION LIMIT of a role and of a database holds for jobs, too, though the server does not count workers.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

my $node = dbopt_cluster('scheduler_limits', "dbopt.retry_database_attempts = 100\ndbopt.retry_database_base = 1000\ndbopt.retry_database_cap = 1000\n");
$node->start;

sub sql { my ($q, $db) = @_; return $node->safe_psql($db // 'postgres', $q); }

sub comes
{
	my ($q, $name, $db) = @_;
	return ok($node->poll_query_until($db // 'postgres', $q), $name);
}

sql(q{CREATE EXTENSION dbopt; CREATE ROLE "Tight ""one""" LOGIN CONNECTION LIMIT 1; CREATE ROLE shut LOGIN CONNECTION LIMIT 0;
	CREATE ROLE free LOGIN; CREATE ROLE boss SUPERUSER LOGIN CONNECTION LIMIT 0;
	CREATE TABLE seen (who name DEFAULT session_user); GRANT INSERT ON seen TO PUBLIC;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dbopt TO "Tight ""one""", shut, free});
my $add = sub { my ($role, $name, $command, $more) = @_;
	sql("SET SESSION AUTHORIZATION $role; SELECT dbopt.job_add('$name', '\@yearly', '$command'" . ($more // '') . ')'); };
my $tight = '"Tight ""one"""';
$add->($tight, 'insert', 'INSERT INTO seen DEFAULT VALUES');
$add->($tight, 'long', 'SELECT pg_sleep(600)');
$add->('shut', 'never', 'INSERT INTO seen DEFAULT VALUES', q{, retry_class => 'none'});
$add->('free', 'theirs', 'INSERT INTO seen DEFAULT VALUES');
$add->('boss', 'always', 'INSERT INTO seen DEFAULT VALUES');

# ---- a session and a job ----
sql(q{SELECT dbopt.job_run('insert')});
comes(q{SELECT count(*) = 1 FROM seen}, 'within the limit a job runs');
# pg_hba of the tests trusts every role on the socket.
my $session = $node->background_psql('postgres', extra_params => [ '-U', 'Tight "one"' ]);
$session->query_safe('SELECT 1');
sql(q{SELECT dbopt.job_run('insert')});
comes(q{SELECT count(*) > 1 FROM dbopt.job_runs WHERE job = 'insert' AND status = 'failed' AND sqlstate = '53300'
	AND message = 'too many connections for role "Tight "one""' AND detail LIKE 'CONNECTION LIMIT is 1; there are 1 sessions and 0 other%'},
	'a session takes the only connection: the job is refused and tried again');
is(sql('SELECT count(*) FROM seen'), '1', 'and has not run');
$session->quit;
comes(q{SELECT count(*) = 2 FROM seen}, 'it runs when the session has ended');

# ---- two jobs ----
sql(q{SELECT dbopt.job_run('long')});
comes(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'}, 'a long job takes the only connection');
sql(q{SELECT dbopt.job_run('insert')});
comes(q{SELECT count(*) > 0 FROM dbopt.job_runs WHERE job = 'insert' AND detail LIKE '%0 sessions and 1 other job workers.'}, 'a second one is refused');
sql(q{SELECT dbopt.job_run('theirs'), dbopt.job_run('always')});
comes(q{SELECT array_agg(who::text ORDER BY who) @> '{boss,free}' FROM seen}, 'other roles and superusers run');
is(sql(q{SELECT count(*) FROM seen WHERE who LIKE 'Tight%'}), '2', 'this one not yet');
sql(q{SELECT dbopt.job_cancel('long')});
comes(q{SELECT count(*) = 3 FROM seen WHERE who LIKE 'Tight%'}, 'now it does');

# ---- two that begin together: one wins, none starves ----
$add->($tight, "both $_", 'INSERT INTO seen DEFAULT VALUES') for 1 .. 4;
sql(q{SELECT dbopt.job_run('both ' || i) FROM generate_series(1, 4) i});
comes(q{SELECT count(*) = 7 FROM seen WHERE who LIKE 'Tight%'}, 'four at once come one after the other');

# ---- a limit of none, without retries ----
sql(q{SELECT dbopt.job_run('never')});
comes(q{SELECT sqlstate = '53300' FROM dbopt.job_runs WHERE job = 'never'}, 'a role with limit 0 has no jobs');
is(sql(q{SELECT count(*) FROM dbopt.job_runs WHERE job = 'never'}), '1', 'and no retry where the job wants none');

# ---- a database ----
sql('CREATE DATABASE narrow CONNECTION LIMIT 1');
sql(q{CREATE EXTENSION dbopt; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dbopt TO free; CREATE TABLE seen (who name DEFAULT session_user);
	GRANT INSERT ON seen TO PUBLIC; SET SESSION AUTHORIZATION free;
	SELECT dbopt.job_add('theirs', '@yearly', 'INSERT INTO seen DEFAULT VALUES');
	RESET SESSION AUTHORIZATION; SELECT dbopt.job_add('ours', '@yearly', 'INSERT INTO seen DEFAULT VALUES')}, 'narrow');
$session = $node->background_psql('narrow', extra_params => [ '-U', 'free' ]);
$session->query_safe('SELECT 1');
# The superuser's own session is beyond the limit, and counts.
sql(q{SELECT dbopt.job_run('theirs'), dbopt.job_run('ours')}, 'narrow');
comes(q{SELECT count(*) > 1 FROM dbopt.job_runs WHERE job = 'theirs' AND sqlstate = '53300' AND message = 'too many connections for database "narrow"'},
	'a database that is full', 'narrow');
comes(q{SELECT array_agg(who::text) = ARRAY[session_user::text] FROM seen}, 'a superuser\'s job runs in it', 'narrow');
$session->quit;
comes(q{SELECT datconnlimit = 1 FROM pg_database WHERE datname = 'narrow'}, 'the limit is as it was');
# Looked at from another database: one's own look would fill it.
comes(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'narrow' AND backend_type = 'client backend'}, 'nobody is in it');
sql(q{SELECT pg_sleep(1)});
comes(q{SELECT count(*) = 2 FROM seen}, 'the job ran when the database had room', 'narrow');
# ---- what a run says of its failure is whole characters, however long it was ----
for my $encoding (qw(UTF8 EUC_JP LATIN1))
{
	my $db = lc "says_$encoding";
	# A letter that each of them has, in three, two and one bytes.
	my $letter = $encoding eq 'UTF8' ? 'chr(8364)' : $encoding eq 'EUC_JP' ? q{convert_from('\\xa4a2', 'EUC_JP')} : 'chr(228)';
	sql("CREATE DATABASE $db TEMPLATE template0 ENCODING '$encoding' LC_COLLATE 'C' LC_CTYPE 'C'");
	sql(qq{CREATE EXTENSION dbopt;
		SELECT dbopt.job_add('shouts', '\@yearly', \$job\$do \$do\$ begin raise exception using message = 'x' || repeat($letter, 3000),
			detail = 'xy' || repeat($letter, 5000), hint = 'short'; end \$do\$\$job\$, retry_class => 'none'), dbopt.job_run('shouts')}, $db);
	comes(q{SELECT status = 'failed' FROM dbopt.job_runs}, "$encoding: a run fails with a long message", $db);
	is(sql(qq{SELECT octet_length(message) BETWEEN 630 AND 639, message ~ '\\.\\.\\.\$', replace(message, $letter, '') = 'x...',
			octet_length(detail) BETWEEN 310 AND 319, replace(detail, $letter, '') = 'xy...', hint, upper(detail) IS NOT NULL FROM dbopt.job_runs}, $db),
		't|t|t|t|t|short|t', 'which is cut between characters, and says so');
	sql("DROP DATABASE $db WITH (FORCE)");
}
ok(no_crash($node), 'no crash');
$node->stop;
done_testing();
