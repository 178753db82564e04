import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Prints each step of each cascade once.
 *
 * <pre>
 * mvn dependency:copy-dependencies -DoutputDirectory=jars
 * KAFKA_URL=127.0.0.1:9092 java -cp 'jars/*' Consume.java
 * </pre>
 *
 * A finding may come twice under one id; fields, records and words that this does not know may
 * come one day, and are passed over.
 */
public class Consume {
  public static void main(String[] args) throws Exception {
    Map<String, Object> settings =
        Map.of(
            "bootstrap.servers", System.getenv("KAFKA_URL"),
            "group.id", System.getenv().getOrDefault("GROUP", "my-java-consumer"),
            "auto.offset.reset", "earliest",
            "isolation.level", "read_committed",
            "enable.auto.commit", "false");
    ObjectMapper json = new ObjectMapper();
    Set<String> seen = new HashSet<>();
    ByteArrayDeserializer bytes = new ByteArrayDeserializer();
    try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings, bytes, bytes)) {
      consumer.subscribe(List.of("cascades"));
      while (true) {
        for (ConsumerRecord<byte[], byte[]> message : consumer.poll(Duration.ofSeconds(1))) {
          JsonNode finding = json.readTree(message.value());
          if (!"cascade".equals(finding.path("type").asText())
              || !seen.add(finding.get("finding_id").asText())) {
            continue;
          }
          System.out.println(
              String.join(
                  "\t",
                  finding.get("finding_id").asText(),
                  finding.get("asset").asText(),
                  finding.get("position_side").asText(),
                  finding.get("phase").asText(),
                  String.format(Locale.ROOT, "%.0f", finding.get("notional_usd").asDouble())));
        }
        // Behind what was done with them: a crash before it brings them again.
        consumer.commitSync();
      }
    }
  }
}
