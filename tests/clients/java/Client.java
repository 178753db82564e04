import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.InetAddress;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Asks an SQL endpoint as DBeaver and Metabase do: clickhouse-jdbc with its defaults.
 *
 * <p>{@code java Client.java HOST:PORT < statements}: each line of stdin is a statement; for each it
 * prints one line of JSON: columns and rows, or the error. The first line it prints has the tables
 * and the columns that the driver's metadata tells.
 */
public class Client {
  private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

  public static void main(String[] given) throws Exception {
    String url = "jdbc:clickhouse://" + given[0] + "/undertow";
    try (Connection connection = DriverManager.getConnection(url, "default", "")) {
      OUT.println(metadata(connection.getMetaData()));
      BufferedReader lines =
          new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
      for (String sql = lines.readLine(); sql != null; sql = lines.readLine()) {
        OUT.println(ask(connection, sql));
      }
    }
  }

  private static String metadata(DatabaseMetaData told) throws SQLException {
    List<String> tables = new ArrayList<>();
    try (ResultSet rows = told.getTables(null, "undertow", null, null)) {
      while (rows.next()) {
        tables.add(text(rows.getString("TABLE_NAME")));
      }
    }
    List<String> columns = new ArrayList<>();
    try (ResultSet rows = told.getColumns(null, "undertow", "trades", null)) {
      while (rows.next()) {
        columns.add(text(rows.getString("COLUMN_NAME")));
      }
    }
    return "{\"tables\":" + tables + ",\"columns\":" + columns + "}";
  }

  private static String ask(Connection connection, String sql) {
    try (Statement statement = connection.createStatement();
        ResultSet rows = statement.executeQuery(sql)) {
      int count = rows.getMetaData().getColumnCount();
      List<String> columns = new ArrayList<>();
      for (int i = 1; i <= count; i++) {
        columns.add(text(rows.getMetaData().getColumnName(i)));
      }
      List<String> all = new ArrayList<>();
      while (rows.next()) {
        List<String> row = new ArrayList<>();
        for (int i = 1; i <= count; i++) {
          row.add(json(rows.getObject(i)));
        }
        all.add(row.toString());
      }
      return "{\"columns\":" + columns + ",\"rows\":" + all + "}";
    } catch (Exception problem) {
      return "{\"rows\":[],\"error\":" + text(String.valueOf(problem.getMessage())) + "}";
    }
  }

  private static String json(Object value) throws SQLException {
    if (value == null) {
      return "null";
    }
    if (value instanceof Boolean || value instanceof Number) {
      return value.toString();
    }
    if (value instanceof java.sql.Array array) {
      return json(array.getArray());
    }
    if (value instanceof Map<?, ?> map) {
      List<String> entries = new ArrayList<>();
      for (Map.Entry<?, ?> entry : map.entrySet()) {
        entries.add(text(entry.getKey().toString()) + ":" + json(entry.getValue()));
      }
      return "{" + String.join(",", entries) + "}";
    }
    if (value instanceof Iterable<?> list) {
      List<String> items = new ArrayList<>();
      for (Object item : list) {
        items.add(json(item));
      }
      return items.toString();
    }
    if (value.getClass().isArray()) {
      List<String> items = new ArrayList<>();
      for (int i = 0; i < java.lang.reflect.Array.getLength(value); i++) {
        items.add(json(java.lang.reflect.Array.get(value, i)));
      }
      return items.toString();
    }
    if (value instanceof InetAddress address) {
      return text(address.getHostAddress());
    }
    Instant instant = instant(value);
    return instant == null
        ? text(value.toString())
        : Long.toString(instant.getEpochSecond() * 1_000_000 + instant.getNano() / 1_000);
  }

  private static Instant instant(Object value) {
    if (value instanceof java.sql.Timestamp time) {
      return time.toInstant();
    }
    if (value instanceof java.sql.Date day) {
      return day.toLocalDate().atStartOfDay(ZoneOffset.UTC).toInstant();
    }
    if (value instanceof ZonedDateTime time) {
      return time.toInstant();
    }
    if (value instanceof OffsetDateTime time) {
      return time.toInstant();
    }
    if (value instanceof LocalDateTime time) {
      return time.toInstant(ZoneOffset.UTC);
    }
    return value instanceof LocalDate day ? day.atStartOfDay(ZoneOffset.UTC).toInstant() : null;
  }

  private static String text(String value) {
    StringBuilder quoted = new StringBuilder("\"");
    for (char sign : value.toCharArray()) {
      if (sign == '"' || sign == '\\') {
        quoted.append('\\').append(sign);
      } else if (sign < ' ') {
        quoted.append(String.format("\\u%04x", (int) sign));
      } else {
        quoted.append(sign);
      }
    }
    return quoted.append('"').toString();
  }
}
