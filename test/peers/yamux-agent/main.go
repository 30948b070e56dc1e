// The smallest agent that somebody else would write from docs/wire/tunnel.md: a public yamux library, a WebSocket of its own, streams of
// kind tcp and udp and nothing else. It takes the identity that `postern join --no-run` made.
//
//	yamux-agent STATE-FOLDER ALLOWED-ADDRESS...       each for both kinds
package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/yamux"
)

type identity struct {
	Addresses     []string `json:"addresses"`
	CaFingerprint string   `json:"caFingerprint"`
	Key           string   `json:"key"`
	Certificate   string   `json:"certificate"`
}

// pinned accepts a chain in which a key of the known fingerprint signs the leaf; names are not compared (§1).
func pinned(fingerprint string) func([][]byte, [][]*x509.Certificate) error {
	return func(raw [][]byte, _ [][]*x509.Certificate) error {
		leaf, err := x509.ParseCertificate(raw[0])
		if err != nil {
			return err
		}
		for _, der := range raw[1:] {
			authority, err := x509.ParseCertificate(der)
			if err != nil {
				return err
			}
			sum := sha256.Sum256(authority.RawSubjectPublicKeyInfo)
			if hex.EncodeToString(sum[:]) == fingerprint && leaf.CheckSignatureFrom(authority) == nil {
				return nil
			}
		}
		return errors.New("no certificate shown has the key of the join token")
	}
}

// webSocket carries bytes in binary messages; boundaries mean nothing (§3).
type webSocket struct {
	conn    net.Conn
	reader  *bufio.Reader
	left    uint64
	writing sync.Mutex
}

func (ws *webSocket) send(opcode byte, payload []byte) error {
	frame := []byte{0x80 | opcode}
	switch length := len(payload); {
	case length < 126:
		frame = append(frame, 0x80|byte(length))
	case length < 65536:
		frame = binary.BigEndian.AppendUint16(append(frame, 0x80|126), uint16(length))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, 0x80|127), uint64(length))
	}
	var mask [4]byte
	if _, err := rand.Read(mask[:]); err != nil {
		return err
	}
	frame = append(frame, mask[:]...)
	for i, b := range payload {
		frame = append(frame, b^mask[i&3])
	}
	ws.writing.Lock()
	defer ws.writing.Unlock()
	_, err := ws.conn.Write(frame)
	return err
}

func (ws *webSocket) Write(payload []byte) (int, error) {
	if err := ws.send(2, payload); err != nil {
		return 0, err
	}
	return len(payload), nil
}

func (ws *webSocket) Read(into []byte) (int, error) {
	for ws.left == 0 {
		var head [2]byte
		if _, err := io.ReadFull(ws.reader, head[:]); err != nil {
			return 0, err
		}
		length := uint64(head[1] & 127)
		if length >= 126 {
			long := make([]byte, 2+6*(length-126))
			if _, err := io.ReadFull(ws.reader, long); err != nil {
				return 0, err
			}
			length = 0
			for _, b := range long {
				length = length<<8 | uint64(b)
			}
		}
		opcode := head[0] & 15
		if opcode < 8 {
			ws.left = length
			continue
		}
		payload := make([]byte, length)
		if _, err := io.ReadFull(ws.reader, payload); err != nil {
			return 0, err
		}
		switch opcode {
		case 8:
			code := uint16(0)
			if len(payload) >= 2 {
				code = binary.BigEndian.Uint16(payload)
			}
			log.Printf("closed %d", code)
			_ = ws.send(8, payload)
			return 0, io.EOF
		case 9:
			if err := ws.send(10, payload); err != nil {
				return 0, err
			}
		}
	}
	n, err := ws.reader.Read(into[:min(uint64(len(into)), ws.left)])
	ws.left -= uint64(n)
	return n, err
}

func (ws *webSocket) Close() error { return ws.conn.Close() }

func dial(address string, id identity) (*webSocket, error) {
	target, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair([]byte(id.Certificate), []byte(id.Key))
	if err != nil {
		return nil, err
	}
	conn, err := tls.Dial("tcp", target.Host, &tls.Config{
		Certificates:          []tls.Certificate{pair},
		NextProtos:            []string{"postern-link/1"},
		InsecureSkipVerify:    true, // the pin is stricter
		VerifyPeerCertificate: pinned(id.CaFingerprint),
	})
	if err != nil {
		return nil, err
	}
	random := make([]byte, 32)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	fmt.Fprintf(conn, "GET /link HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n"+
		"Sec-WebSocket-Protocol: postern-link.1\r\nPostern-Slot: 0\r\nPostern-Turn: %d\r\nPostern-Instance: %s\r\nPostern-Agent: yamux-agent/1 go\r\nPostern-Can: tcp, udp\r\n\r\n",
		target.Host, base64.StdEncoding.EncodeToString(random[:16]), time.Now().UnixMilli(), hex.EncodeToString(random[16:]))
	reader := bufio.NewReaderSize(conn, 64<<10)
	head := textproto.NewReader(reader)
	status, err := head.ReadLine()
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(status, "HTTP/1.1 101 ") {
		rest, _ := io.ReadAll(io.LimitReader(reader, 2000))
		return nil, fmt.Errorf("refused: %s %s", status, rest)
	}
	fields, err := head.ReadMIMEHeader()
	if err != nil {
		return nil, err
	}
	log.Printf("linked %s", fields.Get("Postern-Link"))
	return &webSocket{conn: conn, reader: reader}, nil
}

// readPreface returns kind and target (§5).
func readPreface(stream io.Reader) (kind, target string, err error) {
	var head [4]byte
	if _, err = io.ReadFull(stream, head[:]); err != nil {
		return
	}
	if head[0] != 0x50 || head[1] != 1 {
		return "", "", errors.New("no preface")
	}
	fields := make([]byte, binary.BigEndian.Uint16(head[2:]))
	if _, err = io.ReadFull(stream, fields); err != nil {
		return
	}
	for len(fields) >= 3 {
		length := int(binary.BigEndian.Uint16(fields[1:]))
		if len(fields) < 3+length {
			return "", "", errors.New("a field is cut off")
		}
		switch value := string(fields[3 : 3+length]); fields[0] {
		case 1:
			kind = value
		case 2:
			target = value
		}
		fields = fields[3+length:]
	}
	return
}

func answer(stream io.Writer, code byte, text string) {
	message := binary.BigEndian.AppendUint16([]byte{0x70, code}, uint16(len(text)))
	_, _ = stream.Write(append(message, text...))
}

const datagramMax = 65507

type waiting struct {
	datagram []byte
	since    time.Time
}

// serveFlow relays datagrams, each with its length before it (§5, Datagrams).
func serveFlow(stream *yamux.Stream, conn net.Conn) {
	queue := make(chan waiting, 128)
	ended := make(chan error, 2)
	go func() {
		for {
			datagram := make([]byte, datagramMax)
			_ = conn.SetReadDeadline(time.Now().Add(90 * time.Second))
			n, err := conn.Read(datagram)
			if err != nil {
				ended <- err
				return
			}
			select {
			case queue <- waiting{datagram[:n], time.Now()}:
			default: // full: the oldest goes
				select {
				case <-queue:
				default:
				}
				queue <- waiting{datagram[:n], time.Now()}
			}
		}
	}()
	go func() {
		var length [2]byte
		for {
			if _, err := io.ReadFull(stream, length[:]); err != nil {
				ended <- err
				return
			}
			datagram := make([]byte, binary.BigEndian.Uint16(length[:]))
			if len(datagram) > datagramMax { // the last record, or nonsense
				ended <- io.EOF
				return
			}
			if _, err := io.ReadFull(stream, datagram); err != nil {
				ended <- err
				return
			}
			if _, err := conn.Write(datagram); err != nil {
				ended <- err
				return
			}
		}
	}()
	for {
		select {
		case next := <-queue:
			if time.Since(next.since) > 500*time.Millisecond {
				continue
			}
			if _, err := stream.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(next.datagram))), next.datagram...)); err != nil {
				return
			}
		case err := <-ended:
			if errors.Is(err, syscall.ECONNREFUSED) {
				_, _ = stream.Write([]byte{0xff, 0xff})
				answer(stream, 2, "nobody listens there")
			}
			return // the FIN and the socket's end: deferred by the caller
		}
	}
}

func serve(stream *yamux.Stream, allowed []string) {
	defer stream.Close()
	kind, target, err := readPreface(stream)
	switch {
	case err != nil:
		answer(stream, 8, err.Error())
		return
	case kind != "tcp" && kind != "udp":
		answer(stream, 5, "this agent forwards tcp and udp alone")
		return
	case !slices.Contains(allowed, target):
		answer(stream, 1, "not allowed here; start the agent with "+target)
		return
	}
	conn, err := net.DialTimeout(kind, target, 10*time.Second)
	if err != nil {
		answer(stream, 2, err.Error())
		return
	}
	defer conn.Close()
	answer(stream, 0, "")
	if kind == "udp" {
		serveFlow(stream, conn)
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := io.Copy(conn, stream); err == nil {
			_ = conn.(*net.TCPConn).CloseWrite()
		} else {
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
	}()
	_, _ = io.Copy(stream, conn)
	_ = stream.Close() // a FIN: what comes from the gateway goes on
	<-done
}

func main() {
	log.SetFlags(0)
	state, allowed := os.Args[1], os.Args[2:]
	text, err := os.ReadFile(filepath.Join(state, "agent.json"))
	if err != nil {
		log.Fatal(err)
	}
	var id identity
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&id); err != nil {
		log.Fatal(err)
	}
	ws, err := dial(id.Addresses[0], id)
	if err != nil {
		log.Fatal(err)
	}
	config := yamux.DefaultConfig()
	config.LogOutput = os.Stderr
	session, err := yamux.Client(ws, config)
	if err != nil {
		log.Fatal(err)
	}
	for {
		stream, err := session.AcceptStream()
		if err != nil {
			log.Printf("ended: %v", err)
			return
		}
		go serve(stream, allowed)
	}
}
