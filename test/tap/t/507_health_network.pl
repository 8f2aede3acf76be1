# Clients over the network, with and without encryption: the check counts those without, and only those.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

# An address of this machine that is not the loopback: a connection to it is one over the network.
my ($address) = grep { /^\d+\.\d+\.\d+\.\d+$/ && !/^127\./ } split ' ', `hostname -I 2>/dev/null` // '';
plan skip_all => 'this machine has no address but the loopback' unless $address;

my $node = dbopt_cluster('health_network', '');
$node->append_conf('postgresql.conf', "listen_addresses = '127.0.0.1,$address'");
my $data = $node->data_dir;
my $ssl = `postgres --version 2>/dev/null` && system("openssl req -new -x509 -days 2 -nodes -subj /CN=localhost -keyout $data/server.key -out $data/server.crt >/dev/null 2>&1") == 0;
if ($ssl)
{
	chmod 0600, "$data/server.key";
	$node->append_conf('postgresql.conf', 'ssl = on');
}
unlink "$data/pg_hba.conf";
$node->append_conf('pg_hba.conf', "local all all trust\nhost all all 127.0.0.1/32 trust\nhost all all $address/32 trust");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION dbopt');
sub check { return $node->safe_psql('postgres', q{SELECT status, value, coalesce(advice ~ 'hostssl', false) FROM dbopt.health('ok', 'fast') WHERE check_name = 'remote_without_ssl'}) }
sub becomes { my ($expected, $name) = @_; return ok($node->poll_query_until('postgres', q{SELECT status || ' ' || value FROM dbopt.health('ok', 'fast') WHERE check_name = 'remote_without_ssl'}, $expected), $name) || diag(check()); }
sub session
{
	my ($host, $mode) = @_;
	my $s = $node->background_psql('postgres', extra_params => [ '-d', 'host=' . $host . ' port=' . $node->port . " dbname=postgres sslmode=$mode" ]);
	$s->query_safe('SELECT 1');
	return $s;
}

is(check(), 'ok|0|f', 'sessions on the socket only');
my $near = session('127.0.0.1', 'disable');
is(check(), 'ok|0|f', 'the loopback is no network');
my $plain = session($address, 'disable');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE NOT ssl AND client_addr IS NOT NULL'), '2', 'two sessions over TCP, not encrypted');
is(check(), 'warning|1|t', 'one over the network without encryption: a warning, with what to do');
is($node->safe_psql('postgres', q{SELECT detail LIKE '1 of % not encrypted' FROM dbopt.health('ok', 'fast') WHERE check_name = 'remote_without_ssl'}), 't', 'and how many of how many');
SKIP:
{
	skip 'no openssl, or a server without it', 2 unless $ssl && $node->safe_psql('postgres', 'SHOW ssl') eq 'on';
	my $safe = session($address, 'require');
	is(check(), 'warning|1|t', 'an encrypted one beside it does not count');
	$plain->quit;
	becomes('ok 0', 'alone it is in order');
	$safe->quit;
	$plain = undef;
}
$plain->quit if $plain;
$near->quit;
# Thresholds are the administrator's.
$node->safe_psql('postgres', q{SELECT dbopt.alert_set('remote_without_ssl', warn => 3)});
my @three = map { session($address, 'disable') } 1 .. 2;
is(check(), 'ok|2|f', 'alert_set() moves the threshold');
push @three, session($address, 'disable');
is(check(), 'warning|3|t', 'and it is reached');
$_->quit for @three;
becomes('ok 0', 'gone when they have gone');
ok(no_crash($node), 'no crash');
$node->stop;
done_testing();
