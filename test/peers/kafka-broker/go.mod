module example.test/kafka-broker

go 1.26.0

require (
	github.com/twmb/franz-go/pkg/kfake v0.0.0-20250508175730-72e1646135e3
	github.com/twmb/franz-go/pkg/kmsg v1.15.0
)

require (
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/pierrec/lz4/v4 v4.1.33 // indirect
	github.com/twmb/franz-go v1.22.2 // indirect
	golang.org/x/crypto v0.38.0 // indirect
)
