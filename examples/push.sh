#!/bin/sh
# push.sh FILE BASE SERIAL FEED: brings an append-only FILE home, each byte once (docs/wire/device.md). BASE: https://gw.example.test/v1/default
# CURL holds more for curl: '-H X-Postern-Key:KEY'; to know the server by its key alone '-k --pinnedpubkey sha256//…'; to follow redirects '-L'
F=$1 U=$2 S=$3 C=$4; E=$(cat "$F.epoch" 2>/dev/null); A=$(cat "$F.ack" 2>/dev/null); A=${A:-0} D=1
[ ${#E} = 16 ] || { E=$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n'); A=0; echo 0 > "$F.ack" && echo "$E" > "$F.epoch.t" && mv "$F.epoch.t" "$F.epoch" || exit 1; }
while N=$(($(wc -c < "$F") - A)); [ "$N" -ne 0 ]; do
  [ "$N" -gt 0 ] || { echo "$F has $N bytes to bring: it was shortened, or it is another file; remove $F.epoch to begin anew" >&2; exit 2; }
  tail -c +$((A + 1)) "$F" | head -c "${MAX:-65536}" > "$F.out"
  R=$(curl -s -m 60 $CURL --data-binary @"$F.out" -H 'Content-Type: application/octet-stream' -H "X-Postern-SHA256: $(sha256sum < "$F.out" | cut -d' ' -f1)" "$U/push/$S/$C/$E?o=$A" && echo whole)
  case "$R" in *new=1*whole) echo "$F: other bytes are there; remove $F.epoch to bring all of it under a new epoch: $R" >&2; exit 3;; *whole) ;; *) R= ;; esac # curl fails when an answer is cut
  N=$(printf '%s\n' "$R" | sed -n 's/^next=\([0-9]\{1,16\}\)$/\1/p') W=$(printf '%s\n' "$R" | sed -n 's/^retry=\([0-9]\{1,5\}\).*/\1/p')
  if [ "$N" ] && [ "$N" != "$A" ]; then A=$N D=1; echo "$A" > "$F.ack.t" && mv "$F.ack.t" "$F.ack" || exit 1; continue; fi # a device syncs its disk here
  sleep "${W:-$D}"; [ $((D = D * 2)) -lt 300 ] || D=300
done
