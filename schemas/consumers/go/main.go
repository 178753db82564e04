// Command consumers prints each step of each cascade once.
//
//	go build -o consume . && KAFKA_URL=127.0.0.1:9092 ./consume
//
// A finding may come twice under one id; fields, records and words that this does not know may
// come one day, and are passed over.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kgo"
)

type finding struct {
	Type         string  `json:"type"`
	FindingID    string  `json:"finding_id"`
	Asset        string  `json:"asset"`
	PositionSide string  `json:"position_side"`
	Phase        string  `json:"phase"`
	NotionalUSD  float64 `json:"notional_usd"`
}

func main() {
	group := os.Getenv("GROUP")
	if group == "" {
		group = "my-go-consumer"
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(os.Getenv("KAFKA_URL"), ",")...),
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics("cascades"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.DisableAutoCommit(),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	seen := map[string]bool{}
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil && ctx.Err() == nil {
			log.Fatal(err)
		}
		fetches.EachRecord(func(message *kgo.Record) {
			var step finding
			if err := json.Unmarshal(message.Value, &step); err != nil {
				log.Fatal(err)
			}
			if step.Type != "cascade" || seen[step.FindingID] {
				return
			}
			seen[step.FindingID] = true
			fmt.Printf("%s\t%s\t%s\t%s\t%.0f\n", step.FindingID, step.Asset, step.PositionSide,
				step.Phase, step.NotionalUSD)
		})
		// Behind what was done with them: a crash before it brings them again.
		if err := client.CommitUncommittedOffsets(ctx); err != nil && ctx.Err() == nil {
			log.Print(err)
		}
	}
}
