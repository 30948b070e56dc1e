// A broker that lives in memory, for the tests of Kafka sinks: it prints its address, and ends when its standard input does.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func main() {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "calls"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer cluster.Close()
	// Brokers write the leader's epoch into a batch themselves; this one refuses any but -1. It stands before what the checksum covers.
	cluster.ControlKey(0, func(asked kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		for _, topic := range asked.(*kmsg.ProduceRequest).Topics {
			for _, partition := range topic.Partitions {
				if len(partition.Records) > 16 {
					copy(partition.Records[12:16], []byte{255, 255, 255, 255})
				}
			}
		}
		return nil, nil, false
	})
	fmt.Println(cluster.ListenAddrs()[0])
	io.Copy(io.Discard, os.Stdin)
}
