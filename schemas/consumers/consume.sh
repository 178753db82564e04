#!/bin/sh
# Prints each step of each cascade once: KAFKA_URL=127.0.0.1:9092 ./consume.sh
# Needs jq, and kcat or Kafka's own console consumer. A finding may come twice under one id; fields,
# records and words that this does not know may come one day, and are passed over.
group=${GROUP:-my-shell-consumer}
messages() {
  if command -v kcat >/dev/null; then
    exec kcat -q -u -b "$KAFKA_URL" -X isolation.level=read_committed \
      -X auto.offset.reset=earliest -G "$group" cascades
  fi
  exec kafka-console-consumer.sh --bootstrap-server "$KAFKA_URL" --topic cascades \
    --group "$group" --from-beginning --isolation-level read_committed
}
messages |
  jq --unbuffered -nrR 'foreach (inputs | fromjson? | select(.type == "cascade")) as $step
    ({seen: {}}; if .seen[$step.finding_id] then .step = null
      else .seen[$step.finding_id] = true | .step = $step end;
      .step | select(.)
        | [.finding_id, .asset, .position_side, .phase, (.notional_usd | round)] | @tsv)'
