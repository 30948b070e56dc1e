#!/bin/sh
# Installs the real peers that test/peers and bench/ talk to, from Debian's own packages. Needs root.
set -eu
packages="libatomic1 ca-certificates curl openssl sslscan testssl.sh openssh-client openssh-server nginx-light chromium haproxy caddy wrk tshark procps snmp snmpd slapd ldap-utils sip-tester"
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
