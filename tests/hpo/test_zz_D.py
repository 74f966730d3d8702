import json
from pathlib import Path
from tiny_runs import write_rows
from tunery import search, load
from tunery.hpo.here import InThisProcess
def test_whole(tiny_bert, tmp_path):
    doc={"task":{"kind":"classification"},"data":write_rows(tmp_path),"model":{"name":str(tiny_bert),"max_length":32,"precision":"fp32"},
     "peft":{"method":["bitfit","none"]},"optim":{"lr":{"low":1e-3,"high":1e-2,"log":True}},"train":{"epochs":2,"batch_size":8},"search":{"n_trials":20,"pruner":"none","rescore":{"top":2,"seeds":1},"objective":["loss","seconds"]}}
    import time; t=time.time()
    r=search(doc,out=tmp_path/"s", engine=InThisProcess())
    print(time.time()-t)
    print(r.best.number,r.rescored,r.importance,r.ensembles,r.notes,r.front,r.disk, r.counts)
    print(sorted(p.name for p in (tmp_path/"s").iterdir()))
    assert search(doc,out=tmp_path/"s", engine=InThisProcess())==r
    doc["search"]["n_trials"]=21
    r2=search(doc,out=tmp_path/"s", engine=InThisProcess())
    print(r2.best.number,r2.rescored,r2.ensembles,r2.notes)
    assert 0
