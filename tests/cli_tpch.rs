//! `windrow generate tpch`, by the real binary.

mod harness;

const TABLES: [&str; 8] =
    ["region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem"];

#[test]
fn tables_are_the_same_however_they_are_made() {
    let room = room!();
    let tpch = |flags: &str| room.windrow(&format!("generate tpch --scale 0.002 {flags}")).ok();
    let done = tpch("--output one --threads 1");
    done.says(&["generate-tpch succeeded", "output", "lineitem, 1 files"]);
    tpch("--output many --threads 3 --quiet");
    tpch("--output workers --workers 2 --threads 1 --quiet");
    for table in TABLES {
        for other in ["many", "workers"] {
            room.same_output(&format!("one/{table}"), &format!("{other}/{table}"));
        }
        room.windrow(&format!("verify one/{table}")).ok();
    }
    assert_eq!(room.manifest("one/lineitem")["rows"], 11_957);
    assert_eq!(room.manifest("one/orders")["rows"], 3_000);
}

#[test]
fn what_is_no_scale_is_refused() {
    let room = room!();
    for scale in ["0", "-1", "NaN", "1e9", "0.0001"] {
        let run = room.windrow("generate tpch --output out").arg(format!("--scale={scale}"));
        run.fails(1).says(&["is no scale of TPC-H", "from 0.001 to 10000"]);
    }
    // Its content is fixed by the specification.
    room.windrow("generate tpch --scale 1 --output out --seed 1").fails(2).says(&["--seed"]);
    assert!(!room.path("out").exists());
    room.windrow("generate tpch --scale 0.001 --output out --quiet").ok();
    room.windrow("generate tpch --scale 0.001 --output out --quiet").fails(1).says(&["region"]);
    room.windrow("generate tpch --scale 0.001 --output out --quiet --overwrite").ok();
}
