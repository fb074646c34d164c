// Judge reads a log as https://c2sp.org/tlog-tiles describes it, over HTTP, with Go's own
// golang.org/x/mod packages sumdb/note and sumdb/tlog, and says whether it holds:
//
//   - the checkpoint is signed by the key and names its origin;
//   - every entry of every bundle hashes to the leaf that the checked tiles have, and all together
//     to the root;
//   - record proofs of leaves all over the log, and tree proofs from earlier sizes, check.
//
// It shares no code with the log it judges. Exit status 0 means accepted, 1 refused.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

func main() {
	url := flag.String("url", "", "prefix of the log, without a slash at its end")
	vkey := flag.String("vkey", "", "verifier key of the log")
	samples := flag.Int64("samples", 64, "leaves and old sizes to prove")
	notes := flag.Bool("notes", false, "open the notes on standard input, one JSON string a line")
	flag.Parse()
	if *notes {
		if err := openNotes(*vkey); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	n, err := judge(*url, *vkey, *samples)
	if err != nil {
		fmt.Fprintln(os.Stderr, "refused:", err)
		os.Exit(1)
	}
	fmt.Println("accepted:", n, "leaves")
}

func judge(url, vkey string, samples int64) (int64, error) {
	log := &reader{url: url}
	tree, err := log.checkpoint(vkey)
	if err != nil {
		return 0, err
	}
	// Hashes read through this are checked against the root, tile by tile.
	checked := tlog.TileHashReader(tree, log)
	if err := entries(log, tree, checked); err != nil {
		return 0, err
	}
	step := max(tree.N/samples, 1)
	for i := int64(0); i < tree.N; i += step {
		if err := prove(tree, i, checked); err != nil {
			return 0, err
		}
	}
	if tree.N > 0 {
		if err := prove(tree, tree.N-1, checked); err != nil {
			return 0, err
		}
	}
	return tree.N, nil
}

// prove checks the record proof of leaf i and the tree proof from size i+1.
func prove(tree tlog.Tree, i int64, r tlog.HashReader) error {
	hashes, err := r.ReadHashes([]int64{tlog.StoredHashIndex(0, i)})
	if err != nil {
		return fmt.Errorf("leaf %d: %w", i, err)
	}
	record, err := tlog.ProveRecord(tree.N, i, r)
	if err != nil {
		return fmt.Errorf("proof of leaf %d: %w", i, err)
	}
	if err := tlog.CheckRecord(record, tree.N, tree.Hash, i, hashes[0]); err != nil {
		return fmt.Errorf("proof of leaf %d: %w", i, err)
	}
	old, err := tlog.TreeHash(i+1, r)
	if err != nil {
		return fmt.Errorf("tree of %d: %w", i+1, err)
	}
	proof, err := tlog.ProveTree(tree.N, i+1, r)
	if err != nil {
		return fmt.Errorf("proof of tree %d: %w", i+1, err)
	}
	if err := tlog.CheckTree(proof, tree.N, tree.Hash, i+1, old); err != nil {
		return fmt.Errorf("proof of tree %d: %w", i+1, err)
	}
	return nil
}

// entries reads every bundle, compares its leaves with the tiles, and rebuilds the root from them.
func entries(log *reader, tree tlog.Tree, checked tlog.HashReader) error {
	var stored memory
	for first := int64(0); first < tree.N; first += 1 << height {
		width := min(tree.N-first, 1<<height)
		bundle, err := log.get("tile/entries/" + numberPath(first>>height, width))
		if err != nil {
			return err
		}
		var indexes []int64
		var leaves []tlog.Hash
		for len(bundle) >= 2 {
			end := 2 + int(binary.BigEndian.Uint16(bundle))
			if end > len(bundle) {
				return fmt.Errorf("bundle %d is torn", first>>height)
			}
			n := first + int64(len(leaves))
			more, err := tlog.StoredHashes(n, bundle[2:end], stored)
			if err != nil {
				return err
			}
			stored = append(stored, more...)
			leaves = append(leaves, tlog.RecordHash(bundle[2:end]))
			indexes = append(indexes, tlog.StoredHashIndex(0, n))
			bundle = bundle[end:]
		}
		if len(bundle) > 0 || int64(len(leaves)) != width {
			return fmt.Errorf("bundle %d has %d entries, not %d", first>>height, len(leaves), width)
		}
		hashes, err := checked.ReadHashes(indexes)
		if err != nil {
			return err
		}
		for i, h := range hashes {
			if h != leaves[i] {
				return fmt.Errorf("entry %d does not hash to its leaf", first+int64(i))
			}
		}
	}
	root, err := tlog.TreeHash(tree.N, stored)
	if err != nil {
		return err
	}
	if root != tree.Hash {
		return errors.New("entries do not lead to the root")
	}
	return nil
}

// openNotes writes for each note a line of JSON: its text, or null when note.Open refuses it.
func openNotes(vkey string) error {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	in := json.NewDecoder(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for {
		var signed string
		if err := in.Decode(&signed); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		var text *string
		if n, err := note.Open([]byte(signed), note.VerifierList(verifier)); err == nil {
			text = &n.Text
		}
		if err := out.Encode(text); err != nil {
			return err
		}
	}
}

type memory []tlog.Hash

func (m memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		hashes[i] = m[x]
	}
	return hashes, nil
}

type reader struct {
	url   string
	cache map[string][]byte
}

func (r *reader) checkpoint(vkey string) (tlog.Tree, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return tlog.Tree{}, err
	}
	signed, err := r.get("checkpoint")
	if err != nil {
		return tlog.Tree{}, err
	}
	n, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() || lines[3] != "" {
		return tlog.Tree{}, fmt.Errorf("checkpoint of another form or origin: %q", n.Text)
	}
	// Go's own parser reads the two lines that matter; only its first line is another.
	tree, err := tlog.ParseTree([]byte("go.sum database tree\n" + lines[1] + "\n" + lines[2] + "\n"))
	if err != nil {
		return tlog.Tree{}, err
	}
	if base64.StdEncoding.EncodeToString(tree.Hash[:]) != lines[2] {
		return tlog.Tree{}, errors.New("root is not canonical base64")
	}
	return tree, nil
}

func (r *reader) Height() int { return height }

func (r *reader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	all := make([][]byte, len(tiles))
	for i, t := range tiles {
		data, err := r.get(fmt.Sprintf("tile/%d/%s", t.L, numberPath(t.N, int64(t.W))))
		if err != nil {
			return nil, err
		}
		all[i] = data
	}
	return all, nil
}

func (r *reader) SaveTiles([]tlog.Tile, [][]byte) {}

// numberPath is the end of a C2SP path: Go's, without its height and level.
func numberPath(n, width int64) string {
	path := tlog.Tile{H: height, L: 0, N: n, W: int(width)}.Path()
	return strings.TrimPrefix(path, "tile/"+strconv.Itoa(height)+"/0/")
}

func (r *reader) get(path string) ([]byte, error) {
	if data, ok := r.cache[path]; ok {
		return data, nil
	}
	resp, err := http.Get(r.url + "/" + path)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, resp.Status)
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if r.cache == nil {
		r.cache = make(map[string][]byte)
	}
	r.cache[path] = data
	return data, nil
}
