// Mutual TLS with nothing but Go's library: client PORT ROOTS CHAIN KEY IDENTITY
// Sends one line, prints the answer. Go compares host names by itself, and the identity is a URI:
// so the path is verified here, by the same function, and then the identity.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"os"
	"time"
)

func main() {
	text, err := os.ReadFile(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		log.Fatal("no root")
	}
	own, err := tls.LoadX509KeyPair(os.Args[3], os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	connection, err := tls.Dial("tcp", "127.0.0.1:"+os.Args[1], &tls.Config{
		Certificates:       []tls.Certificate{own},
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			above := x509.NewCertPool()
			for _, certificate := range state.PeerCertificates[1:] {
				above.AddCert(certificate)
			}
			leaf := state.PeerCertificates[0]
			_, err := leaf.Verify(x509.VerifyOptions{
				Roots: roots, Intermediates: above, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			})
			if err == nil && (len(leaf.URIs) != 1 || leaf.URIs[0].String() != os.Args[5]) {
				err = fmt.Errorf("the peer is %v", leaf.URIs)
			}
			return err
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	connection.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprint(connection, "5\n")
	answer, err := bufio.NewReader(connection).ReadString('\n')
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(answer)
	connection.Close()
}
