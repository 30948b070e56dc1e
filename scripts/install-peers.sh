#!/bin/sh
# Installs the real peers that test/peers and bench/ talk to, from Debian's own packages. Needs root.
set -eu
packages="libatomic1 ca-certificates curl openssl sslscan testssl.sh openssh-client openssh-server nginx-light apache2 chromium haproxy caddy wrk nghttp2-client tshark procps snmp snmpd slapd ldap-utils sip-tester pebble bind9 bind9-dnsutils dnsmasq-base sslh socat bsdutils logrotate libnginx-mod-stream faketime strace postgresql nats-server syslog-ng-core syslog-ng-mod-http iproute2"
# The h2spec suite has no package. It is built where there is Go; elsewhere its test says that it was skipped.
go=$(command -v go || echo /usr/local/go/bin/go)
if [ -x "$go" ] && ! command -v h2spec > /dev/null; then
  GOBIN=/usr/local/bin "$go" install github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible || echo "install-peers: h2spec could not be built"
fi
# Telegraf has no package in Debian either; with the few plugins that its test needs it is built in three minutes: on request (install-peers.sh telegraf).
if [ "${1:-}" = telegraf ] && [ -x "$go" ] && ! command -v telegraf > /dev/null; then
  GOBIN=/usr/local/bin "$go" install -tags custom,inputs.tail,outputs.http,parsers.value,serializers.influx github.com/influxdata/telegraf/cmd/telegraf@v1.37.2 || echo "install-peers: telegraf could not be built"
fi
missing=""
for package in $packages; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || { echo "install-peers: everything is there"; exit 0; }
echo "install-peers: installing$missing"
export DEBIAN_FRONTEND=noninteractive
# Packaged servers start themselves otherwise; the tests start their own, on ports of their own.
policy=/usr/sbin/policy-rc.d
made=""
if [ ! -e "$policy" ]; then printf '#!/bin/sh\nexit 101\n' > "$policy"; chmod +x "$policy"; made=yes; fi
trap '[ -z "$made" ] || rm -f "$policy"' EXIT
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing
