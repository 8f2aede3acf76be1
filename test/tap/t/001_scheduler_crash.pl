# kill -9 of launcher, database worker, rooms worker, job worker and postmaster, again and again: every
# run is accounted for, no job is lost, none ran twice without a record.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use Dbopt::Test;

my $kills = 52;
my $node = dbopt_cluster('scheduler_crash', <<'CONF');
restart_after_crash = on
dbopt.retry_database_attempts = 100
dbopt.retry_database_base = '100ms'
dbopt.retry_database_cap = '500ms'
dbopt.breaker_failures = 1000
CONF
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION dbopt;
	CREATE TABLE ledger (by text, at timestamptz DEFAULT clock_timestamp());
	SELECT dbopt.job_add('each second', '1 second', $$INSERT INTO ledger VALUES ('each second')$$);
	SELECT dbopt.job_add('slow', '1 second', $$INSERT INTO ledger SELECT 'slow' FROM pg_sleep(0.6)$$,
		missed => 'all', overlap => 'queue');
	SELECT dbopt.job_add('by hand', '@yearly', $$INSERT INTO ledger VALUES ('by hand')$$);
});

# The server may be in recovery at any time: NULL then.
sub ask
{
	my $sql = shift;
	my ($rc, $out) = $node->psql('postgres', $sql, timeout => 30);
	return $rc == 0 ? $out : undef;
}

sub wait_for
{
	my ($sql, $what) = @_;
	for (1 .. 600)
	{
		my $out = ask($sql);
		return 1 if defined $out && $out eq 't';
		usleep(100_000);
	}
	diag("timed out: $what");
	return 0;
}

sub restart_postmaster
{
	$node->kill9;
	for (1 .. 300)
	{
		# From 17 on a failed start may note the dead postmaster's pid file as a running server.
		$node->{_pid} = undef;
		return 1 if $node->start(fail_ok => 1);
		usleep(100_000);
	}
	return 0;
}

my $up = q{SELECT count(*) = 2 FROM pg_stat_activity
	WHERE backend_type IN ('dbopt launcher', 'dbopt database worker')};
my @victims = ('dbopt launcher', 'dbopt database worker', 'dbopt job worker', 'postmaster',
	'dbopt job worker', 'dbopt rooms worker');
my (%killed, @asked);
my $came_back = 1;
# A busy machine may have no victim to offer at the moment: a few cycles more, then.
for my $cycle (1 .. 2 * $kills)
{
	my $so_far = 0;
	$so_far += $_ for values %killed;
	last if $so_far >= $kills;
	$came_back &&= wait_for($up, "workers after $cycle kills");
	my $run = ask(q{SELECT dbopt.job_run('by hand')});
	push @asked, $run if defined $run && $run ne '';
	my $victim = $victims[$cycle % @victims];
	usleep(int(rand(400_000)));
	if ($victim eq 'postmaster')
	{
		$came_back &&= restart_postmaster();
		$killed{$victim}++;
		next;
	}
	# A job worker lives for a moment only: another worker takes its place after a while.
	my $pid;
	for (1 .. 30)
	{
		$pid = ask("SELECT min(pid) FROM pg_stat_activity WHERE backend_type = '$victim'");
		last if defined $pid && $pid ne '';
		usleep(50_000);
	}
	if (!defined $pid || $pid eq '')
	{
		$victim = 'dbopt database worker';
		$pid = ask("SELECT min(pid) FROM pg_stat_activity WHERE backend_type = '$victim'");
	}
	next if !defined $pid || $pid eq '';
	kill('KILL', $pid);
	$killed{$victim}++;
	usleep(150_000);
}
my $total = 0;
$total += $_ for values %killed;
note(join(', ', map { "$_: $killed{$_}" } sort keys %killed));
ok($came_back, 'the workers came back each time');
cmp_ok($total, '>=', 50, "$total processes were killed");
cmp_ok($killed{$_} // 0, '>=', 4, "$_ among them") for 'dbopt launcher', 'dbopt database worker', 'dbopt job worker', 'postmaster';
ok(wait_for($up, 'the end'), 'workers are up at the end');
ok(wait_for(q{SELECT count(*) = 0 FROM dbopt.job_state WHERE retry_at IS NOT NULL}, 'retries'), 'retries are over');
$node->safe_psql('postgres', q{SELECT dbopt.job_alter('each second', enabled => false),
	dbopt.job_alter('slow', enabled => false)});
ok(wait_for(q{SELECT count(*) = 0 FROM dbopt.run WHERE status IN ('queued', 'running')}, 'open runs'),
	'no run is left queued or running');

is($node->safe_psql('postgres', q{SELECT count(*) FROM dbopt.run WHERE status NOT IN ('done', 'interrupted')}),
	'0', 'every run is done or interrupted')
	or diag($node->safe_psql('postgres', q{SELECT * FROM dbopt.run WHERE status NOT IN ('done', 'interrupted')}));
my $bounds = $node->safe_psql('postgres', q{
	SELECT string_agg(format('%s: %s rows, %s done, %s interrupted', c.name, l.n, r.done, r.interrupted), '; ')
		FILTER (WHERE l.n NOT BETWEEN r.done AND r.done + r.interrupted)
	FROM dbopt.job_config c
	CROSS JOIN LATERAL (SELECT count(*) n FROM ledger WHERE by = c.name) l
	CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE status = 'done') done,
		count(*) FILTER (WHERE status = 'interrupted') interrupted
		FROM dbopt.run WHERE job_id = c.job_id) r});
is($bounds, '', 'every effect has a run, every done run its effect');
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM dbopt.run WHERE status = 'interrupted'}), '>', 0,
	'interrupted runs are recorded');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM dbopt.run i WHERE status = 'interrupted' AND NOT EXISTS (
		SELECT FROM dbopt.run n WHERE n.job_id = i.job_id AND n.run_id > i.run_id AND n.attempt = i.attempt + 1
			AND n.scheduled_at = i.scheduled_at)}), '0', 'each of them was tried again');
my $lost = 0;
for my $run (@asked)
{
	$lost++ if $node->safe_psql('postgres', "SELECT count(*) FROM dbopt.run WHERE run_id = $run") ne '1';
}
is($lost, 0, scalar(@asked) . ' runs asked for by hand: none is lost');
$node->stop;
done_testing();
