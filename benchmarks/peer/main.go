// Moby's layer package, as dockerd opens it, doing one piece of work for each line of JSON that is
// asked, and answering with how long it took. The garbage of what went before is collected first.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	_ "github.com/docker/docker/daemon/graphdriver/overlay2"
	"github.com/docker/docker/layer"
	"github.com/docker/docker/pkg/idtools"
	"github.com/docker/docker/pkg/reexec"
	"github.com/sirupsen/logrus"
)

type request struct {
	Do    string
	Root  string
	Tars  []string
	Chain layer.ChainID
	Count int
	Each  int
}

type answer struct {
	Error   string          `json:"error"`
	Seconds float64         `json:"seconds"`
	Chains  []layer.ChainID `json:"chains"`
	Diffs   []layer.DiffID  `json:"diffs"`
	Bytes   int64           `json:"bytes"`
	Layers  int             `json:"layers"`
	Mounts  int             `json:"mounts"`
}

// What is open, and what of it is held.
type peer struct {
	store    layer.Store
	layers   map[layer.ChainID]layer.Layer
	writable []layer.RWLayer
}

func main() {
	if reexec.Init() {
		return // a child that unpacks a tar
	}
	logrus.SetLevel(logrus.WarnLevel)
	p := &peer{}
	lines := bufio.NewReader(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var asked request
		var said answer
		if err := json.Unmarshal(line, &asked); err != nil {
			said.Error = err.Error()
		} else if err := p.do(&asked, &said); err != nil {
			said.Error = fmt.Sprintf("%s: %v", asked.Do, err)
		}
		if err := answers.Encode(said); err != nil {
			return
		}
	}
}

func (p *peer) do(asked *request, said *answer) error {
	if p.store == nil && asked.Do != "open" {
		return errors.New("no store is open")
	}
	runtime.GC()
	switch asked.Do {
	case "open":
		return p.open(asked, said)
	case "close":
		err := p.store.Cleanup()
		*p = peer{}
		return err
	case "register":
		return p.register(asked, said)
	case "release":
		return p.release(asked, said)
	case "create":
		return p.create(asked, said)
	case "remove":
		return p.remove(said)
	case "read":
		return p.read(asked, said)
	case "pairs":
		return p.pairs(asked, said)
	}
	return errors.New("nobody knows how")
}

// Opens a root; Count is how many read-write layers are looked for in it, afterwards.
func (p *peer) open(asked *request, said *answer) error {
	start := time.Now()
	store, err := layer.NewStoreFromOptions(layer.StoreOptions{
		Root:                      asked.Root,
		MetadataStorePathTemplate: filepath.Join(asked.Root, "image", "%s", "layerdb"),
		GraphDriver:               "overlay2",
		IDMapping:                 &idtools.IdentityMapping{},
		OS:                        runtime.GOOS,
	})
	said.took(start)
	if err != nil {
		return err
	}
	p.store, p.layers, p.writable = store, map[layer.ChainID]layer.Layer{}, nil
	said.Layers = len(store.Map())
	for number := 0; number < asked.Count; number++ {
		if _, err := store.GetMountID(name(number)); err == nil {
			said.Mounts++
		}
	}
	return nil
}

// Registers tars, each on the one before it and the first on Chain. All of them are held.
func (p *peer) register(asked *request, said *answer) error {
	start := time.Now()
	parent := asked.Chain
	for _, path := range asked.Tars {
		made, err := p.registerOne(path, parent)
		if err != nil {
			return err
		}
		parent = made.ChainID()
		p.layers[parent] = made
		said.Chains = append(said.Chains, parent)
		said.Diffs = append(said.Diffs, made.DiffID())
	}
	said.took(start)
	return nil
}

func (p *peer) registerOne(path string, parent layer.ChainID) (layer.Layer, error) {
	tar, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer tar.Close()
	return p.store.Register(tar, parent)
}

// Gives back what is held of one layer; Layers is how many were removed by that.
func (p *peer) release(asked *request, said *answer) error {
	held := p.layers[asked.Chain]
	start := time.Now()
	removed, err := p.store.Release(held)
	said.took(start)
	said.Layers = len(removed)
	delete(p.layers, asked.Chain)
	return err
}

// Creates Count read-write layers on Chain, from as many goroutines.
func (p *peer) create(asked *request, said *answer) error {
	made := make([]layer.RWLayer, asked.Count)
	start := time.Now()
	err := fromMany(asked.Count, func(number int) (err error) {
		made[number], err = p.store.CreateRWLayer(name(number), asked.Chain, nil)
		return err
	})
	said.took(start)
	p.writable = made
	return err
}

// Removes all read-write layers, from as many goroutines.
func (p *peer) remove(said *answer) error {
	start := time.Now()
	err := fromMany(len(p.writable), func(number int) error {
		_, err := p.store.ReleaseRWLayer(p.writable[number])
		return err
	})
	said.took(start)
	p.writable = nil
	return err
}

// Reads a layer's tar to its end.
func (p *peer) read(asked *request, said *answer) error {
	start := time.Now()
	stream, err := p.layers[asked.Chain].TarStream()
	if err != nil {
		return err
	}
	defer stream.Close()
	said.Bytes, err = io.CopyBuffer(onlyWriter{}, stream, make([]byte, 1<<20))
	said.took(start)
	return err
}

// Gets and releases one layer, Each times from each of Count goroutines.
func (p *peer) pairs(asked *request, said *answer) error {
	start := time.Now()
	err := fromMany(asked.Count, func(int) error {
		for number := 0; number < asked.Each; number++ {
			held, err := p.store.Get(asked.Chain)
			if err != nil {
				return err
			}
			if _, err := p.store.Release(held); err != nil {
				return err
			}
		}
		return nil
	})
	said.took(start)
	return err
}

func (said *answer) took(start time.Time) {
	said.Seconds = time.Since(start).Seconds()
}

func name(number int) string {
	return fmt.Sprintf("rw%d", number)
}

// Does something once in each of many goroutines, and returns the first failure by number.
func fromMany(count int, do func(number int) error) error {
	failures := make([]error, count)
	var all sync.WaitGroup
	all.Add(count)
	for number := 0; number < count; number++ {
		go func(number int) {
			defer all.Done()
			failures[number] = do(number)
		}(number)
	}
	all.Wait()
	for _, err := range failures {
		if err != nil {
			return err
		}
	}
	return nil
}

// Throws away what it is given; not io.Discard, which reads in pieces of its own size.
type onlyWriter struct{}

func (onlyWriter) Write(piece []byte) (int, error) {
	return len(piece), nil
}
