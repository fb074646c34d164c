// Gosumdb reads a log as Go's checksum database is read, over HTTP, with Go's own golang.org/x/mod
// packages sumdb, sumdb/note and sumdb/tlog, and says whether it holds:
//
//   - the tree note of /latest is signed by the key, and sumdb/tlog reads it;
//   - every record of every data tile hashes to the leaf that the checked tiles have, and all
//     together to the root;
//   - every width of the last tile and data tile is served and is a prefix of the whole;
//   - sumdb.Client, starting from the tree note in -known if there is one, looks up each
//     name@version of the arguments, and what it then vouches for is that version's record.
//
// It shares no code with the log it judges. Exit status 0 means accepted, 1 refused.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

func main() {
	url := flag.String("url", "", "base URL of the database, without a slash at its end")
	vkey := flag.String("vkey", "", "verifier key of the database")
	known := flag.String("known", "", "file with a tree note that the client remembers")
	flag.Parse()
	if err := judge(*url, *vkey, *known, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "refused:", err)
		os.Exit(1)
	}
}

func judge(url, vkey, known string, lookups []string) error {
	if _, err := get(url + "/supported"); err != nil {
		return err
	}
	tree, err := latest(url, vkey)
	if err != nil {
		return err
	}
	if err := records(url, tree); err != nil {
		return err
	}
	if err := widths(url, tree); err != nil {
		return err
	}
	fmt.Println("accepted:", tree.N, "records")
	return client(url, vkey, known, lookups)
}

func latest(url, vkey string) (tlog.Tree, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return tlog.Tree{}, err
	}
	signed, err := get(url + "/latest")
	if err != nil {
		return tlog.Tree{}, err
	}
	n, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	tree, err := tlog.ParseTree([]byte(n.Text))
	if err != nil {
		return tlog.Tree{}, err
	}
	if n.Text != string(tlog.FormatTree(tree)) {
		return tlog.Tree{}, fmt.Errorf("tree is not as Go writes it: %q", n.Text)
	}
	return tree, nil
}

// records reads every data tile, compares its records with the checked tiles, and rebuilds the root.
func records(url string, tree tlog.Tree) error {
	checked := tlog.TileHashReader(tree, tiles{url})
	var stored memory
	for first := int64(0); first < tree.N; first += 1 << height {
		width := min(tree.N-first, 1<<height)
		t := tlog.Tile{H: height, L: -1, N: first >> height, W: int(width)}
		data, err := get(url + "/" + t.Path())
		if err != nil {
			return err
		}
		for i := range width {
			// A data tile is made of formatted records without their first line.
			_, text, rest, err := tlog.ParseRecord(append([]byte("0\n"), data...))
			if err != nil {
				return fmt.Errorf("record %d: %w", first+i, err)
			}
			more, err := tlog.StoredHashes(first+i, text, stored)
			if err != nil {
				return err
			}
			hashes, err := checked.ReadHashes([]int64{tlog.StoredHashIndex(0, first+i)})
			if err != nil {
				return err
			}
			if hashes[0] != tlog.RecordHash(text) {
				return fmt.Errorf("record %d does not hash to its leaf", first+i)
			}
			stored = append(stored, more...)
			data = rest
		}
		if len(data) > 0 {
			return fmt.Errorf("%s has %d bytes too many", t.Path(), len(data))
		}
	}
	root, err := tlog.TreeHash(tree.N, stored)
	if err != nil {
		return err
	}
	if root != tree.Hash {
		return errors.New("records do not lead to the root")
	}
	return nil
}

// widths asks for each width that the last tile had: a client that remembers an old tree does.
func widths(url string, tree tlog.Tree) error {
	for _, level := range []int{0, -1} {
		last := tlog.Tile{H: height, L: level, N: (tree.N - 1) >> height}
		last.W = int(tree.N - last.N<<height)
		whole, err := get(url + "/" + last.Path())
		if err != nil {
			return err
		}
		for w := 1; w < last.W; w++ {
			t := last
			t.W = w
			data, err := get(url + "/" + t.Path())
			if err != nil {
				return err
			}
			n := w * tlog.HashSize
			if level == -1 {
				n = len(data)
				if bytes.Count(data, []byte("\n\n")) != w {
					return fmt.Errorf("%s has not %d records", t.Path(), w)
				}
			}
			if !bytes.Equal(data, whole[:min(n, len(whole))]) {
				return fmt.Errorf("%s is no prefix of %s", t.Path(), last.Path())
			}
		}
	}
	return nil
}

// client has Go's own client look up everything; it checks signatures, proofs and its memory.
func client(url, vkey, known string, lookups []string) error {
	o := &ops{url: url, vkey: vkey, cache: make(map[string][]byte)}
	if known != "" {
		data, err := os.ReadFile(known)
		if err != nil {
			return err
		}
		o.latest = data
	}
	c := sumdb.NewClient(o)
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	for _, lookup := range lookups {
		name, version, _ := strings.Cut(lookup, "@")
		if _, err := c.Lookup(name, version); err != nil {
			return err
		}
		// It keeps an answer only once it has checked the record in it.
		var answers [][]byte
		o.mu.Lock()
		for file, data := range o.cache {
			if strings.HasPrefix(file, verifier.Name()+"/lookup/") {
				answers = append(answers, data)
				delete(o.cache, file)
			}
		}
		o.mu.Unlock()
		if len(answers) != 1 {
			return fmt.Errorf("%s: the client vouches for %d answers", lookup, len(answers))
		}
		_, text, _, err := tlog.ParseRecord(answers[0])
		if err != nil {
			return err
		}
		if !bytes.HasPrefix(text, []byte("npm/"+name+"@"+version+" sha512-")) {
			return fmt.Errorf("%s: another record: %s", lookup, text)
		}
		fmt.Printf("record: %s", text[:bytes.IndexByte(text, '\n')+1])
	}
	return nil
}

type memory []tlog.Hash

func (m memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		hashes[i] = m[x]
	}
	return hashes, nil
}

type tiles struct{ url string }

func (t tiles) Height() int { return height }

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	all := make([][]byte, len(wanted))
	for i, tile := range wanted {
		data, err := get(t.url + "/" + tile.Path())
		if err != nil {
			return nil, err
		}
		all[i] = data
	}
	return all, nil
}

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// ops is the world of a sumdb.Client: the network, and what it remembers.
type ops struct {
	url, vkey string
	mu        sync.Mutex
	latest    []byte
	cache     map[string][]byte
}

func (o *ops) ReadRemote(path string) ([]byte, error) { return get(o.url + path) }

func (o *ops) ReadConfig(file string) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if file == "key" {
		return []byte(o.vkey), nil
	}
	return o.latest, nil
}

func (o *ops) WriteConfig(_ string, old, new []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !bytes.Equal(old, o.latest) {
		return sumdb.ErrWriteConflict
	}
	o.latest = new
	return nil
}

func (o *ops) ReadCache(file string) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if data, ok := o.cache[file]; ok {
		return data, nil
	}
	return nil, os.ErrNotExist
}

func (o *ops) WriteCache(file string, data []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cache[file] = data
}

func (o *ops) Log(msg string) { log.Print(msg) }

func (o *ops) SecurityError(msg string) { log.Print(msg) }

var cache = make(map[string][]byte)
var cacheMu sync.Mutex

func get(url string) ([]byte, error) {
	cacheMu.Lock()
	data, ok := cache[url]
	cacheMu.Unlock()
	if ok {
		return data, nil
	}
	resp, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	data, err = io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	cacheMu.Lock()
	defer cacheMu.Unlock()
	// Heads change while it is read.
	if strings.Contains(url, "/tile/") {
		cache[url] = data
	}
	return data, nil
}
