// Command go asks an SQL endpoint as Grafana's plugin does: clickhouse-go, Native over HTTP.
//
//	go HOST:PORT none|gzip|lz4 < statements
//
// Each line of stdin is a statement; for each it prints one line of JSON: columns and rows, or
// the error.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

var methods = map[string]clickhouse.CompressionMethod{
	"none": clickhouse.CompressionNone,
	"gzip": clickhouse.CompressionGZIP,
	"lz4":  clickhouse.CompressionLZ4,
}

type answer struct {
	Columns []string `json:"columns,omitempty"`
	Rows    [][]any  `json:"rows"`
	Error   string   `json:"error,omitempty"`
}

func main() {
	connection, err := clickhouse.Open(&clickhouse.Options{
		Addr:        []string{os.Args[1]},
		Protocol:    clickhouse.HTTP,
		Compression: &clickhouse.Compression{Method: methods[os.Args[2]]},
		Auth:        clickhouse.Auth{Database: "undertow", Username: "default"},
		Settings:    clickhouse.Settings{"max_execution_time": 20},
		DialTimeout: 30 * time.Second,
	})
	if err == nil {
		err = connection.Ping(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	out := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		given := ask(connection, lines.Text())
		if err := out.Encode(given); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func ask(connection driver.Conn, sql string) (given answer) {
	given.Rows = [][]any{}
	rows, err := connection.Query(context.Background(), sql)
	if err != nil {
		given.Error = err.Error()
		return given
	}
	defer rows.Close()
	given.Columns = rows.Columns()
	for rows.Next() {
		targets := make([]any, len(given.Columns))
		for i, column := range rows.ColumnTypes() {
			targets[i] = reflect.New(column.ScanType()).Interface()
		}
		if err := rows.Scan(targets...); err != nil {
			given.Error = err.Error()
			return given
		}
		row := make([]any, len(targets))
		for i, target := range targets {
			row[i] = plain(reflect.ValueOf(target).Elem())
		}
		given.Rows = append(given.Rows, row)
	}
	if err := rows.Err(); err != nil {
		given.Error = err.Error()
	}
	return given
}

// plain turns what the driver scanned into what JSON can say: times are microseconds.
func plain(value reflect.Value) any {
	for value.Kind() == reflect.Pointer || value.Kind() == reflect.Interface {
		if value.IsNil() {
			return nil
		}
		value = value.Elem()
	}
	if !value.IsValid() {
		return nil
	}
	switch one := value.Interface().(type) {
	case time.Time:
		return one.UnixMicro()
	case fmt.Stringer:
		return one.String()
	}
	switch value.Kind() {
	case reflect.Slice:
		list := []any{}
		for i := 0; i < value.Len(); i++ {
			list = append(list, plain(value.Index(i)))
		}
		return list
	case reflect.Map:
		entries := map[string]any{}
		for _, key := range value.MapKeys() {
			entries[fmt.Sprint(key.Interface())] = plain(value.MapIndex(key))
		}
		return entries
	}
	return value.Interface()
}
